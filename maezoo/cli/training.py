"""`maezoo pretrain`: from images to weights."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from maezoo.cli.outputs import check_no_input
from maezoo.cli.screen import errors, note, say
from maezoo.paths import user_path
from maezoo.vocabulary import Target

if TYPE_CHECKING:
    from maezoo.training import Progress

__all__ = ["add_commands"]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(pretrain)


def pretrain(
    data: Annotated[list[Path], typer.Argument(help="A folder of images, or packed .npz files.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the run; an unfinished run in it goes on.")],
    model: Annotated[str, typer.Option("--model", "-m", help="Architecture.")] = "mae_vit_tiny",
    views: Annotated[int, typer.Option(min=1, help="Images shown in all, repeats counted.")] = 1_000_000,
    batch_size: Annotated[int, typer.Option(min=1, help="Images in a step.")] = 64,
    optimizer: Annotated[Literal["adamw", "muon"], typer.Option(help="Muon is for the blocks' matrices.")] = "muon",
    base_lr: Annotated[float, typer.Option(help="AdamW's rate for 256 images a step.")] = 6e-3,
    muon_lr: Annotated[float, typer.Option(help="Muon's rate.")] = 5e-3,
    weight_decay: Annotated[float, typer.Option(help="Of matrices.")] = 0.05,
    warmup: Annotated[float, typer.Option(help="Share of the steps.")] = 0.04,
    mask_ratio: Annotated[float, typer.Option(help="Share of patches hidden.")] = 0.75,
    target: Annotated[Target, typer.Option(help="What the decoder predicts.")] = "pixel",
    normpix_weight: Annotated[
        float, typer.Option(help="Of a second loss on normalised pixels, for better features; 0 for none.")
    ] = 0.0,
    crop: Annotated[tuple[float, float], typer.Option(help="Area of the random crops.")] = (0.35, 1.0),
    ema: Annotated[float, typer.Option(help="Decay of the averaged weights; 0 for none.")] = 0.999,
    seed: Annotated[int, typer.Option(help="Of weights, order, crops and masks.")] = 0,
    precision: Annotated[Literal["auto", "float32", "bfloat16"], typer.Option(help="auto asks the hardware.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, …")] = "auto",
    start_from: Annotated[
        Path | None, typer.Option(help="A maezoo .safetensors file to start from; its decoder if it fits.")
    ] = None,
    compile_: Annotated[bool, typer.Option("--compile", help="Compile the step first, for a minute.")] = False,
    license_: Annotated[str, typer.Option("--license", help="Of the weights, written into the file.")] = "unknown",
) -> None:
    """Pretrain a masked autoencoder; writes model.safetensors, and checkpoints from which the same command goes on."""
    from maezoo.files import sha256_of
    from maezoo.hardware import choose_device
    from maezoo.training import FolderImages, Recipe, open_source
    from maezoo.training import pretrain as run
    from maezoo.training.result import write_result

    data, output = [user_path(path) for path in data], user_path(output)
    if start_from is not None:
        start_from = user_path(start_from)
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
    try:
        with _Bar(recipe.views) as bar:
            trained = run(
                recipe, source, output, device=device, start_from=start_from, compile=compile_, report=bar.report
            )
    except KeyboardInterrupt:
        note("stopped; the same command goes on from here", "yellow")
        raise typer.Exit(130) from None
    if isinstance(source, FolderImages) and source.unreadable:
        errors.print(f"{len(source.unreadable):,} files could not be read and were left out", style="yellow")
    path = write_result(trained, recipe, source, output / "model.safetensors", license=license_)
    say(str(path))
    say(f"Try it: maezoo reconstruct photo.jpg --model {shlex.quote(f'local-dir:{output}')}")


class _Bar:
    """A bar over the views of a run, with loss and speed; a line now and then where there is no terminal."""

    def __init__(self, views: int) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:.0f}%"))
        self._bar = Progress(
            *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=errors, disable=not errors.is_terminal
        )
        self._task = self._bar.add_task("starting", total=views)

    def __enter__(self) -> "_Bar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def report(self, progress: "Progress") -> None:
        """Show where the run stands."""
        text = f"loss {progress.loss:.4f}  {progress.views_per_second:.0f} images/s"
        self._bar.update(self._task, completed=progress.views, description=text)
        if not errors.is_terminal:
            note(f"{progress.views:,} views  {text}")
