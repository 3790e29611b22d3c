"""`maezoo pretrain`: from images to weights."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from maezoo.cli.exits import INTERRUPTED
from maezoo.cli.options import DEFAULT_MODEL, BatchSize, Device, output_option
from maezoo.cli.outputs import check_no_input
from maezoo.cli.screen import counted, note, note_to_repeat, say
from maezoo.cli.watching import Log, Pictures, Probe, ProbeEvery, ResumeFrom, start_of, watch_of
from maezoo.paths import user_path
from maezoo.vocabulary import Target

if TYPE_CHECKING:
    from maezoo.model import MaskedAutoencoder
    from maezoo.training import ImageSource, Progress, Recipe

__all__ = ["pretrain"]


def pretrain(
    data: Annotated[list[Path], typer.Argument(help="A folder of images, or packed .npz files.", parser=user_path)],
    output: Annotated[Path, output_option("Folder of the run; an unfinished run in it is resumed.")],
    model: Annotated[str, typer.Option("--model", "-m", help="Architecture.")] = DEFAULT_MODEL,
    views: Annotated[int, typer.Option(min=1, help="Training images in all, repeats counted.")] = 1_000_000,
    batch_size: BatchSize = 64,
    optimizer: Annotated[Literal["adamw", "muon"], typer.Option(help="Muon is for the blocks' matrices.")] = "muon",
    base_lr: Annotated[float, typer.Option(help="AdamW's learning rate for a batch of 256 images.")] = 6e-3,
    muon_lr: Annotated[float, typer.Option(help="Muon's learning rate.")] = 5e-3,
    weight_decay: Annotated[float, typer.Option(help="Weight decay of matrices.")] = 0.05,
    warmup: Annotated[float, typer.Option(help="Share of the steps that warm up.")] = 0.04,
    mask_ratio: Annotated[float, typer.Option(help="Share of patches to hide.")] = 0.75,
    target: Annotated[Target, typer.Option(help="What the decoder predicts.")] = "pixel",
    normpix_weight: Annotated[
        float, typer.Option(help="Weight of a second loss, on normalised pixels, for better features; 0: none.")
    ] = 0.0,
    crop: Annotated[tuple[float, float], typer.Option(help="Smallest and largest area of crops.")] = (0.35, 1.0),
    ema: Annotated[float, typer.Option(help="Decay of the averaged weights; 0: none.")] = 0.999,
    seed: Annotated[int, typer.Option(help="Seed of weights, order, crops and masks.")] = 0,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"], typer.Option(help="Number format; auto: as fits the hardware.")
    ] = "auto",
    device: Device = "auto",
    start_from: Annotated[
        Path | None,
        typer.Option(help="A maezoo .safetensors file to start from.", parser=user_path, metavar="PATH"),
    ] = None,
    compile_: Annotated[bool, typer.Option("--compile", help="Compile the step first; takes a minute.")] = False,
    license_: Annotated[str, typer.Option("--license", help="Licence of the weights, for their file.")] = "unknown",
    log: Log = None,
    pictures: Pictures = 0,
    probe: Probe = None,
    probe_every: ProbeEvery = None,
    resume_from: ResumeFrom = None,
) -> None:
    """Pretrain a masked autoencoder on your images.

    Writes model.safetensors, and checkpoints: after an interruption, the same command continues from the last one.
    """
    from maezoo.files import sha256_of
    from maezoo.hardware import choose_device
    from maezoo.training import FolderImages, Recipe, open_source
    from maezoo.training.result import write_result

    watch = watch_of(log, pictures, probe, probe_every)
    if start_from is not None:
        check_no_input(output / "model.safetensors", [start_from])
    recipe = Recipe(
        model=model,
        views=views,
        batch_size=batch_size,
        optimizer=optimizer,
        base_lr=base_lr,
        muon_lr=muon_lr,
        weight_decay=weight_decay,
        warmup=warmup,
        mask_ratio=mask_ratio,
        target=target,
        normpix_weight=normpix_weight,
        crop=crop,
        ema=ema,
        seed=seed,
        start_from="" if start_from is None else sha256_of(start_from),
        precision=precision,
    )
    source = open_source(*data, device=choose_device(device))
    note(f"{source.describe()}; {recipe.views:,} views in {recipe.steps:,} steps")
    watched = {"watch": watch, "resume_from": start_of(resume_from)}
    trained = _train(recipe, source, output, device=device, start_from=start_from, compile=compile_, **watched)
    if isinstance(source, FolderImages) and source.unreadable:
        note(f"{counted(len(source.unreadable), 'file')} could not be read and were left out.", "yellow")
    path = write_result(trained, recipe, source, output, license=license_)
    say(str(path))
    say(f"Try it: maezoo reconstruct photo.jpg --model {shlex.quote(f'local-dir:{output}')}")


def _train(recipe: "Recipe", source: "ImageSource", output: Path, **settings: Any) -> "MaskedAutoencoder":
    """Run the training with a progress bar; at Ctrl-C, say how to continue."""
    from maezoo.cli.bar import Bar
    from maezoo.training import pretrain as run

    def report(at: "Progress") -> None:
        bar.show(at.views, rate=at.views_per_second, more=f"loss {at.loss:.4f}")

    try:
        with Bar("images", recipe.views) as bar:
            return run(recipe, source, output, report=report, **settings)
    except KeyboardInterrupt:
        note_to_repeat("Stopped. A checkpoint is kept; to continue, run it again:")
        raise typer.Exit(INTERRUPTED) from None
