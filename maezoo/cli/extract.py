"""`maezoo extract`: from a folder, a list or tar shards to Parquet."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from maezoo.cli.exits import INTERRUPTED
from maezoo.cli.options import DEFAULT_MODEL, Device, Json, Model, Pooling, Windowing
from maezoo.cli.screen import counted, note_to_repeat, print_json, say

if TYPE_CHECKING:
    from maezoo.extraction import ExtractResult

__all__ = ["extract"]

_STOPPED = "Stopped. What is done is kept; to continue, run it again:"


def extract(
    source: Annotated[str, typer.Argument(metavar="SRC", help="A folder, a list (.txt, .csv), or tar shards.")],
    output: Annotated[str, typer.Argument(metavar="OUT", help="A folder; an unfinished run in it is resumed.")],
    model: Model = DEFAULT_MODEL,
    pool: Pooling = "cls",
    dtype: Annotated[Literal["float16", "float32"], typer.Option(help="Number format of embeddings.")] = "float16",
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"], typer.Option(help="Number format of the model.")
    ] = "float32",
    device: Device = "auto",
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images at a time. [by the device]")] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that decode images; with Ray, actors. [by the machine]")
    ] = None,
    shard_size: Annotated[int, typer.Option(min=1, help="Images per Parquet file.")] = 10_000,
    engine: Annotated[Literal["local", "ray"], typer.Option(help="This machine, or a Ray cluster.")] = "local",
    labels: Annotated[bool, typer.Option("--labels", help="Store labels: folder's name, column, or .cls.")] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Decode large JPEGs at full size.")] = False,
    window: Windowing = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Embed the first so many images only.")] = None,
    contents: Annotated[bool, typer.Option("--contents", help="Detect changed images by their bytes.")] = False,
    as_json: Json = False,
) -> None:
    """Embed all images of a source into Parquet files.

    After an interruption, run the same command again: it continues where it stopped.
    """
    try:
        from maezoo.cli.bar import Bar
        from maezoo.extraction import extract as run

        with Bar("images") as bar:
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
                window=window,
                limit=limit,
                contents=contents,
                report=lambda at: bar.show(at.done, total=at.total, rate=at.rate, more=counted(at.errors, "error")),
            )
        _tell(result, as_json)
    except KeyboardInterrupt:  # while nothing is being made yet, or for the second time
        note_to_repeat(_STOPPED)
        raise typer.Exit(INTERRUPTED) from None
    if result.stopped or not result.complete or not result.rows:
        raise typer.Exit(INTERRUPTED if result.stopped else 1)


def _tell(result: "ExtractResult", as_json: bool) -> None:
    """Say what was done, and what the same command does next."""
    if as_json:
        from dataclasses import asdict

        print_json({**asdict(result), "images_per_second": round(result.images_per_second, 1)})
    elif not result.stopped:
        failed = f", {counted(result.errors, 'error')} (__maezoo__/errors.parquet)" if result.errors else ""
        say(f"{result.output}  {result.rows:,} rows{failed} of {result.images:,} images")
    if result.stopped:
        note_to_repeat(_STOPPED)
    elif result.pending:
        note_to_repeat(
            f"{counted(result.pending, 'image')} could not be read for now (see __maezoo__/pending.parquet). To try "
            "them again, run:"
        )
