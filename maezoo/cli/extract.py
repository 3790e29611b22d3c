"""`maezoo extract`: from a folder, a list or tar shards to Parquet."""

import shlex
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from maezoo.cli.screen import errors, note, print_json, say
from maezoo.vocabulary import Pool

if TYPE_CHECKING:
    from maezoo.extraction import ExtractResult, Progress

__all__ = ["add_commands"]

_LINE_EVERY = 10.0  # seconds between lines where there is no terminal
_INTERRUPTED = 130


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(extract)


def extract(
    source: Annotated[str, typer.Argument(metavar="SRC", help="A folder, a list (.txt, .csv), or tar shards.")],
    output: Annotated[str, typer.Argument(metavar="OUT", help="A folder; an unfinished run in it goes on.")],
    model: Annotated[str, typer.Option("--model", "-m", help="Weights; see `maezoo list`.")] = "mae_vit_tiny",
    pool: Annotated[Pool, typer.Option(help="Which tokens.")] = "cls",
    dtype: Annotated[Literal["float16", "float32"], typer.Option(help="Of the embeddings.")] = "float16",
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"], typer.Option(help="Of the model; auto asks the hardware.")
    ] = "float32",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps, …")] = "auto",
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images at a time. [by the device]")] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that decode; with Ray, actors. [by the machine]")
    ] = None,
    shard_size: Annotated[int, typer.Option(min=1, help="Images of one file.")] = 10_000,
    engine: Annotated[Literal["local", "ray"], typer.Option(help="This machine, or a Ray cluster.")] = "local",
    labels: Annotated[bool, typer.Option("--labels", help="Store labels: folders' names, column, .cls files.")] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Decode large JPEGs at full size.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many images.")] = None,
    contents: Annotated[
        bool, typer.Option("--contents", help="Tell changed pictures by their bytes, not by size and time.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Embed all images of a source into Parquet files; the same command goes on after any interruption."""
    try:
        from maezoo.extraction import extract as run

        with _Bar() as bar:
            result = run(
                source,
                output,
                model=model,
                pool=pool,
                dtype=dtype,
                precision=precision,
                device=device,
                batch_size=batch_size,
                workers=workers,
                shard_size=shard_size,
                engine=engine,
                labels=labels,
                exact=exact,
                limit=limit,
                contents=contents,
                report=bar.report,
            )
        _tell(result, as_json)
    except KeyboardInterrupt:  # while nothing is being made yet, or for the second time
        _tell_again("Stopped. What is done is kept; to go on, run it again:")
        raise typer.Exit(_INTERRUPTED) from None
    if result.stopped or not result.complete or not result.rows:
        raise typer.Exit(_INTERRUPTED if result.stopped else 1)


def _tell(result: "ExtractResult", as_json: bool) -> None:
    """Say what was done, and what the same command does next."""
    if as_json:
        from dataclasses import asdict

        print_json({**asdict(result), "images_per_second": round(result.images_per_second, 1)})
    elif not result.stopped:
        failed = f", {result.errors:,} errors (__maezoo__/errors.parquet)" if result.errors else ""
        say(f"{result.output}  {result.rows:,} rows{failed} of {result.images:,} images")
    if result.stopped:
        _tell_again("Stopped. What is done is kept; to go on, run it again:")
    elif result.pending:
        _tell_again(
            f"{result.pending:,} images could not be read for now (__maezoo__/pending.parquet says why); the same "
            "command tries them again:"
        )


def _tell_again(why: str) -> None:
    """Say why the command should be run again, and spell it."""
    note(why, "yellow")
    note(shlex.join(["maezoo", *sys.argv[1:]]))


class _Bar:
    """A bar with rate, remaining time and errors; a line now and then where there is no terminal."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        self._bar = Progress(*columns, console=errors, disable=not errors.is_terminal)
        self._task: Any = None
        self._last = time.monotonic()

    def __enter__(self) -> "_Bar":
        self._bar.start()
        self._task = self._bar.add_task("looking", total=None)
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def report(self, progress: "Progress") -> None:
        """Show where the run stands."""
        text = f"{progress.rate:,.1f} images/s"
        if progress.remaining is not None:
            text += f", {_duration(progress.remaining)} to go"
        if progress.errors:
            text += f", {progress.errors:,} errors"
        self._bar.update(self._task, completed=progress.done, total=progress.total, description=text)
        if not errors.is_terminal and time.monotonic() - self._last > _LINE_EVERY:
            self._last = time.monotonic()
            note(f"{progress.done:,} of {progress.total:,}  {text}")


def _duration(seconds: float) -> str:
    """Write a duration.

    Example:
        >>> _duration(59), _duration(3723)
        ('0:59', '1:02:03')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
