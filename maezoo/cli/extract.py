"""`maezoo extract`: from a folder, a list or tar shards to Parquet."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from maezoo.cli.exits import INTERRUPTED
from maezoo.cli.options import DEFAULT_MODEL, Device, Json, Model, Pooling, Windowing
from maezoo.cli.screen import command_line, counted, note, note_to_repeat, print_json, say

if TYPE_CHECKING:
    from maezoo.extraction import ExtractResult

__all__ = ["extract"]

_STOPPED = "Stopped. What is done is kept; to continue, run it again:"
_Run = Callable[..., "ExtractResult"]


def extract(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="A folder, a list (.txt, .csv, .parquet), or tar shards.")
    ],
    output: Annotated[str, typer.Argument(metavar="OUT", help="A folder; an unfinished run in it is resumed.")],
    model: Model = DEFAULT_MODEL,
    pool: Pooling = None,
    dtype: Annotated[
        Literal["float16", "float32"], typer.Option(help="Number format of the stored embeddings.")
    ] = "float16",
    normalize: Annotated[bool, typer.Option("--normalize", help="Divide each embedding by its length.")] = False,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"], typer.Option(help="Number format of the computation.")
    ] = "float32",
    device: Device = "auto",
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images at a time. [by the device]")] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that decode images; with Ray, actors. [by the machine]")
    ] = None,
    shard_size: Annotated[int, typer.Option(min=1, help="Images per Parquet file.")] = 10_000,
    engine: Annotated[Literal["local", "ray"], typer.Option(help="This machine, or a Ray cluster.")] = "local",
    labels: Annotated[bool, typer.Option("--labels", help="Store labels: folder's name, column, or .cls.")] = False,
    path_column: Annotated[str | None, typer.Option(help="Column of paths. [by its name]")] = None,
    image_column: Annotated[str | None, typer.Option(help="Column of images, in Parquet. [by its type]")] = None,
    id_column: Annotated[
        str | None, typer.Option(help="Column, or key of .json members, used as id. [id, else the path]")
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Column or key of the labels; implies --labels. [label]")
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(help="Columns or keys to copy to the output, with commas between them.")
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Decode large JPEGs at full size: slower.")] = False,
    window: Windowing = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Embed this many images, the first ones. [all]")] = None,
    contents: Annotated[bool, typer.Option("--contents", help="Detect changed images by their bytes.")] = False,
    max_errors: Annotated[
        str | None, typer.Option(metavar="N|P%", help="End the run when more images fail. [any number may]")
    ] = None,
    log_json: Annotated[
        bool, typer.Option("--log-json", help="Log to standard error as JSON, one object per line.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Embed all images of a source into Parquet files.

    After an interruption, run the same command again: it continues where it stopped.

    \b
    Exit codes:
      0    every image has a row or an error, and there is a row
      1    an error; no row was written; or images could not be read for now
      2    wrong usage
      65   more images failed than --max-errors allows
      66   no such source, or no image in it
      75   another run is writing to the output
      78   the output was begun with other settings
      130  stopped by Ctrl-C; 143 by SIGTERM
    """  # noqa: D301 - \b, as a character, keeps the lines of the table

    def run(**report: Any) -> "ExtractResult":
        from maezoo.extraction import extract as run_extraction

        return run_extraction(
            source,
            output,
            model=model,
            pool=pool,
            dtype=dtype,
            normalize=normalize,
            precision=precision,
            device=device,
            batch_size=batch_size,
            workers=workers,
            shard_size=shard_size,
            engine=engine,
            labels=labels,
            path_column=path_column,
            image_column=image_column,
            id_column=id_column,
            label_column=label_column,
            keep=[name.strip() for names in keep or () for name in names.split(",")],
            exact=exact,
            window=window,
            limit=limit,
            contents=contents,
            max_errors=max_errors,
            **report,
        )

    (_run_logged if log_json else _run_shown)(run, as_json)


def _run_shown(run: _Run, as_json: bool) -> None:
    """Run an extraction with a bar or lines of progress."""
    try:
        from maezoo.cli.bar import Bar

        with Bar("images") as bar:
            result = run(
                report=lambda at: bar.show(at.done, total=at.total, rate=at.rate, more=counted(at.errors, "error"))
            )
        _tell(result, as_json)
    except KeyboardInterrupt:  # while nothing is being made yet, or for the second time
        note_to_repeat(_STOPPED)
        raise typer.Exit(INTERRUPTED) from None
    _leave(result)


def _run_logged(run: _Run, as_json: bool) -> None:
    """Run an extraction whose standard error is one JSON object per line."""
    from maezoo.cli.json_log import json_log

    with json_log() as log:
        try:
            result = run(report=log.progress)
        except KeyboardInterrupt:
            log.end("stopped", INTERRUPTED, command=command_line())
            raise typer.Exit(INTERRUPTED) from None
        status = "stopped" if result.stopped else "complete" if result.complete else "pending"
        again = {} if result.complete else {"command": command_line()}
        log.end(status, _code(result), **_facts(result), **again)
    if as_json:
        print_json(_facts(result))
    _leave(result)


def _code(result: "ExtractResult") -> int:
    """Return the exit code for a result."""
    return INTERRUPTED if result.stopped else int(not result.complete or not result.rows)


def _leave(result: "ExtractResult") -> None:
    if _code(result):
        raise typer.Exit(_code(result))


def _facts(result: "ExtractResult") -> dict[str, Any]:
    """Return a result as data for JSON."""
    from dataclasses import asdict

    return {**asdict(result), "images_per_second": round(result.images_per_second, 1)}


def _tell(result: "ExtractResult", as_json: bool) -> None:
    """Say what was done, and what the same command does next."""
    if as_json:
        print_json(_facts(result))
    elif not result.stopped:
        failed = f", {counted(result.errors, 'error')} (__maezoo__/errors.parquet)" if result.errors else ""
        say(f"{result.output}  {counted(result.rows, 'row')}{failed} of {counted(result.images, 'image')}")
    if result.stopped:
        note_to_repeat(_STOPPED)
    elif result.pending:
        note_to_repeat(
            f"{counted(result.pending, 'image')} could not be read for now (see __maezoo__/pending.parquet). To try "
            "them again, run:"
        )
    elif not result.rows:
        note("No row was written: every image failed.", "red")
