"""A log for programs: one JSON object per line on standard error."""

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

from maezoo.cli.exits import ERRORS, code_of, final

if TYPE_CHECKING:
    from maezoo.extraction import Progress

__all__ = ["JsonLog", "json_log"]

_EVERY = 10.0  # seconds between lines of progress


class JsonLog:
    """Writes events, each with its time; docs/extraction.md lists them and their fields."""

    def __init__(self) -> None:
        self._last = -_EVERY

    def write(self, event: str, **fields: Any) -> None:
        """Write one event."""
        now = datetime.now().astimezone().isoformat(timespec="milliseconds")
        print(json.dumps({"time": now, "event": event, **fields}, default=str), file=sys.stderr, flush=True)

    def progress(self, at: "Progress") -> None:
        """Write the progress: at first, every ten seconds, and at the last image."""
        if at.done < at.total and time.monotonic() - self._last < _EVERY:
            return
        self._last = time.monotonic()
        left = None if at.remaining is None else round(at.remaining, 1)
        rate = round(at.rate, 1)
        self.write(
            "progress", done=at.done, total=at.total, errors=at.errors, images_per_second=rate, seconds_left=left
        )

    def end(self, status: str, code: int, **fields: Any) -> None:
        """Write how the command ends."""
        self.write("end", status=status, exit_code=final(code), **fields)


@contextmanager
def json_log() -> Iterator[JsonLog]:
    """Give a log, which also takes the warnings of libraries and the error that ends the block.

    Raises:
        typer.Exit: with the exit code of that error.
    """
    log, root = JsonLog(), logging.getLogger()
    before = root.handlers[:]
    root.handlers[:] = [_Handler(log)]
    logging.captureWarnings(True)
    try:
        yield log
    except ERRORS as error:
        log.end("error", code_of(error), error=type(error).__name__, message=str(error))
        raise typer.Exit(code_of(error)) from error
    finally:
        logging.captureWarnings(False)
        root.handlers[:] = before


class _Handler(logging.Handler):
    """Writes what is logged as events."""

    def __init__(self, log: JsonLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        self._log.write("log", level=record.levelname.lower(), logger=record.name, message=record.getMessage())
