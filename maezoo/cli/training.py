"""`maezoo pretrain`: from images to weights."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from maezoo.cli.exits import INTERRUPTED
from maezoo.cli.options import BatchSize, Device, Windowing, output_option
from maezoo.cli.outputs import check_no_input
from maezoo.cli.processes import one_speaks
from maezoo.cli.screen import counted, note, note_to_repeat, say
from maezoo.cli.watching import Log, Pictures, Probe, ProbeEvery, ResumeFrom, start_of, stopped, watch_of
from maezoo.paths import user_path
from maezoo.vocabulary import MaskStrategy, Target

if TYPE_CHECKING:
    from maezoo.api.mae import MAE
    from maezoo.training import ImageSource, Progress, Recipe
    from maezoo.training.processes.processes import Processes

__all__ = ["pretrain"]

_NAMED = 5  # unreadable images


def _sides(text: str) -> Any:
    """Read `N` or `HxW`."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdigit() for side in sides):
        raise typer.BadParameter(f"{text!r} is neither a side in pixels, such as 224, nor HxW, such as 128x256.")
    return int(sides[0]), int(sides[-1])


def _numbers(text: str) -> Any:
    """Read numbers with commas between them."""
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a list of numbers such as 0.5,0.4,0.3.") from error


def _per_channel(what: str) -> Any:
    return typer.Option(parser=_numbers, metavar="X,Y,…", help=what, show_default=False)


def pretrain(
    data: Annotated[
        list[str],
        typer.Argument(
            help="Folders, lists, tar shards or Parquet files with images, also at URIs; or packed .npz files.",
            metavar="SRC...",
        ),
    ],
    output: Annotated[Path, output_option("Folder of the run; an unfinished run in it is resumed.")],
    model: Annotated[
        str, typer.Option("--model", "-m", help="Architecture. [that of --init, else mae_vit_tiny]", show_default=False)
    ] = "",
    init: Annotated[
        str,
        typer.Option(
            help="Weights to start from: a name of `maezoo list`, local-dir:FOLDER, hf-hub:REPO or a file.",
            metavar="NAME|PATH",
            show_default=False,
        ),
    ] = "",
    img_size: Annotated[
        Any, typer.Option(parser=_sides, metavar="HxW|N", help="Size of the crops in pixels.", show_default=False)
    ] = None,
    in_chans: Annotated[
        int | None, typer.Option(min=1, show_default=False, help="Channels; 1 makes pictures grey.")
    ] = None,
    patch_size: Annotated[
        int | None, typer.Option(min=1, show_default=False, help="Side of a patch in pixels.")
    ] = None,
    decoder_dim: Annotated[int | None, typer.Option(min=1, show_default=False, help="Width of the decoder.")] = None,
    decoder_depth: Annotated[int | None, typer.Option(min=1, show_default=False, help="Blocks of the decoder.")] = None,
    decoder_heads: Annotated[
        int | None, typer.Option(min=1, show_default=False, help="Attention heads of the decoder.")
    ] = None,
    mean: Annotated[
        Any, _per_channel("Mean of each channel, pixels in [0, 1], which is subtracted. [as --init has it]")
    ] = None,
    std: Annotated[Any, _per_channel("Standard deviation of each channel, by which is divided.")] = None,
    views: Annotated[int, typer.Option(min=1, help="Training images in all, repeats counted.")] = 1_000_000,
    batch_size: BatchSize = 64,
    optimizer: Annotated[
        Literal["adamw", "muon"] | None,
        typer.Option(help="Muon is for the blocks' matrices. [adamw; muon for tiny and small]", show_default=False),
    ] = None,
    base_lr: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="AdamW's learning rate for a batch of 256 images. [1.5e-4 as in the paper; 6e-3 for tiny and small; "
            "less where the rate would exceed the paper's 2.4e-3]",
            show_default=False,
        ),
    ] = None,
    muon_lr: Annotated[float, typer.Option(help="Muon's learning rate.")] = 5e-3,
    weight_decay: Annotated[float, typer.Option(help="Weight decay of matrices.")] = 0.05,
    warmup: Annotated[float, typer.Option(help="Share of the steps that warm up.")] = 0.04,
    mask_ratio: Annotated[float, typer.Option(help="Share of patches to hide.")] = 0.75,
    mask_strategy: Annotated[MaskStrategy, typer.Option(help="How the hidden patches are chosen.")] = "random",
    mask_cell: Annotated[int, typer.Option(min=1, help="Side in patches of the cells that `cells` hides.")] = 4,
    predict: Annotated[float, typer.Option(help="Share of the hidden patches that are predicted; less is faster.")] = 1,
    target: Annotated[
        Target | None,
        typer.Option(help="What the decoder predicts. [as --init's decoder does, else pixel]", show_default=False),
    ] = None,
    normpix_weight: Annotated[
        float, typer.Option(help="Weight of a second loss, on normalised pixels, for better features; 0: none.")
    ] = 0.0,
    crop: Annotated[tuple[float, float], typer.Option(help="Smallest and largest area of crops.")] = (0.35, 1.0),
    ema: Annotated[float, typer.Option(help="Decay of the averaged weights; 0: none.")] = 0.999,
    seed: Annotated[int, typer.Option(help="Seed of weights, order, crops and masks.")] = 0,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"], typer.Option(help="Number format; auto: as fits the hardware.")
    ] = "auto",
    window: Windowing = None,
    device: Device = "auto",
    parallel: Annotated[
        Literal["ddp", "fsdp"],
        typer.Option(help="With torchrun or srun: each process has all weights, or a share of them."),
    ] = "ddp",
    accumulate: Annotated[int, typer.Option(min=1, help="Parts of a step that are done one after the other.")] = 1,
    activation_checkpointing: Annotated[
        bool, typer.Option("--activation-checkpointing", help="Less memory, a third more time.")
    ] = False,
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
    Several processes share each step of --batch-size images: torchrun --nproc-per-node 8 -m maezoo pretrain …
    """
    from maezoo.hardware import choose_device
    from maezoo.training import Recipe, open_source
    from maezoo.training.processes.processes import joined

    watch = watch_of(log, pictures, probe, probe_every)
    check_no_input(output / "model.safetensors", _files_of(init))
    recipe = Recipe(
        model=model,
        img_size=img_size,
        in_chans=in_chans,
        patch_size=patch_size,
        decoder_dim=decoder_dim,
        decoder_depth=decoder_depth,
        decoder_heads=decoder_heads,
        mean=mean,
        std=std,
        views=views,
        batch_size=batch_size,
        optimizer=optimizer,
        base_lr=base_lr,
        muon_lr=muon_lr,
        weight_decay=weight_decay,
        warmup=warmup,
        mask_ratio=mask_ratio,
        mask_strategy=mask_strategy,
        mask_cell=mask_cell,
        predict=predict,
        target=target,
        normpix_weight=normpix_weight,
        crop=crop,
        ema=ema,
        seed=seed,
        init=init,
        precision=precision,
    )
    division = {
        "parallel": parallel,
        "accumulate": accumulate,
        "recompute": activation_checkpointing,
        "compile": compile_,
    }
    with joined(choose_device(device), always=parallel == "fsdp") as (processes, where), one_speaks(processes):
        source = open_source(*data, device=where, window=window or "full", folder=output / "source")
        if processes.first:
            note(f"{source.describe()}; {recipe.views:,} views in {recipe.steps:,} steps{_shared(processes)}")
        watched = {"watch": watch, "resume_from": start_of(resume_from)}
        trained = _train(recipe, source, output, processes, device=where, **division, **watched)
        if processes.first:
            _finish(trained, recipe, source, output, license_)


def _files_of(init: str) -> list[Path]:
    """Return the weights file that `--init` names, if it names one here."""
    path = user_path(init.removeprefix("local-dir:"))
    return [path / "model.safetensors", path] if init and path.exists() else []


def _shared(processes: "Processes") -> str:
    return "" if processes.size == 1 else f", shared by {processes.size} processes"


def _finish(trained: "MAE", recipe: "Recipe", source: "ImageSource", output: Path, license: str) -> None:
    """Write the model, and say how to use it."""
    from maezoo.training import ListedImages, PackedImages
    from maezoo.training.result import write_result

    _name_left_out(source.left_out() if isinstance(source, ListedImages | PackedImages) else {}, output)
    path = write_result(trained, recipe, source, output, license=license)
    say(str(path))
    say(f"Try it: maezoo reconstruct photo.jpg --model {shlex.quote(f'local-dir:{output}')}")


def _name_left_out(images: dict[str, str], output: Path) -> None:
    """Say how many images could not be read, and which."""
    if images:
        shown = list(images)[:_NAMED]
        more = f" and {len(images) - len(shown):,} more; all are in {output / 'source'}" if len(images) > _NAMED else ""
        note(
            f"{counted(len(images), 'image')} could not be read and counted for nothing: {', '.join(shown)}{more}",
            "yellow",
        )


def _train(recipe: "Recipe", source: "ImageSource", output: Path, processes: "Processes", **settings: Any) -> "MAE":
    """Run the training with a progress bar; at Ctrl-C, say how to continue."""
    from contextlib import nullcontext

    from maezoo.cli.bar import Bar
    from maezoo.training import pretrain as run

    bar = Bar("images", recipe.steps * recipe.batch_size) if processes.first else None

    def report(at: "Progress") -> None:
        if bar is not None:
            bar.show(at.views, rate=at.views_per_second, more=f"loss {at.loss:.4f}")

    try:
        with bar or nullcontext():
            return run(recipe, source, output, report=report, processes=processes, **settings)
    except KeyboardInterrupt:
        if processes.size > 1 and processes.claim():
            note(f"{stopped(output)} run the same command again.", "yellow")
        elif processes.size == 1:
            note_to_repeat(f"{stopped(output)} run it again:")
        raise typer.Exit(INTERRUPTED) from None
