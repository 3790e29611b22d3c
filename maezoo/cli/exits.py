"""How a command ends: its exit code, and one line on standard error after an error."""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TextIO

from maezoo.errors import (
    ArgumentError,
    LayerError,
    MaezooError,
    MaskError,
    OtherSettingsError,
    OutputBusyError,
    SizeError,
    SourceMissingError,
    TooManyErrorsError,
)
from maezoo.files import errors_named
from maezoo.interrupts import interrupt

__all__ = ["ERRORS", "INTERRUPTED", "StoppedError", "code_of", "final", "run_and_exit"]

INTERRUPTED = 130  # 128 + SIGINT
_TERMINATED = 143  # 128 + SIGTERM
ERRORS = (MaezooError, OSError, ValueError, FloatingPointError)
"""What a command may end with in one line: what is raised on purpose, and what systems and numbers may do."""
_CODES: dict[type[BaseException], int] = {  # as in sysexits.h
    TooManyErrorsError: 65,  # EX_DATAERR
    SourceMissingError: 66,  # EX_NOINPUT
    OutputBusyError: 75,  # EX_TEMPFAIL: try again later
    OtherSettingsError: 78,  # EX_CONFIG
    ArgumentError: 2,  # wrong usage, as what typer refuses: a command's arguments were at fault, no file
    LayerError: 2,
    MaskError: 2,
    SizeError: 2,
}

_terminated = False


class StoppedError(Exception):
    """Ctrl-C, on its way out of a command; typer would end on a KeyboardInterrupt without a word."""


def run_and_exit(run: Callable[[], int]) -> None:
    """Run a command and leave: 0 when all went well, 1 on an error, 2 on wrong usage, and what `code_of` says.

    130 stands for Ctrl-C, 143 for SIGTERM; both end a command in the same way.

    Args:
        run: runs the command and returns its exit code.
    """
    _make_streams_safe()
    signal.signal(signal.SIGTERM, _end_as_ctrl_c_does)
    try:
        code = run()
        with errors_named(Path("standard output")):
            sys.stdout.flush()
    except (StoppedError, KeyboardInterrupt):
        code = _say("stopped", INTERRUPTED)
    except BrokenPipeError:  # as with `| head`: nobody reads what is written
        code = 1
    except MaezooError as error:
        code = _say(f"maezoo: {error}", code_of(error))
    except (OSError, ValueError, FloatingPointError) as error:
        if os.environ.get("MAEZOO_TRACEBACK"):
            raise
        code = _say(f"maezoo: {error} (set MAEZOO_TRACEBACK=1 to see where)", 1)
    _discard_what_cannot_be_written()
    sys.exit(final(code))


def code_of(error: BaseException) -> int:
    """Return the exit code for an error.

    Example:
        >>> code_of(OutputBusyError("another run is writing")), code_of(ValueError("x"))
        (75, 1)
    """
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), 1)


def final(code: int) -> int:
    """Return the exit code that a command leaves with: a run that SIGTERM ended has another than one of Ctrl-C."""
    return _TERMINATED if _terminated and code == INTERRUPTED else code


def _say(line: str, code: int) -> int:
    """Print a line on standard error, if it can be written, and return the exit code."""
    from maezoo.cli.screen import note

    with suppress(OSError):
        note(line, "yellow" if code == INTERRUPTED else "red")
    return code


def _make_streams_safe() -> None:
    """Make sure that standard output and error exist, and escape what their encoding lacks."""
    sys.stdout, sys.stderr = (_safe(stream) for stream in (sys.stdout, sys.stderr))


def _safe(stream: TextIO | None) -> TextIO:
    if stream is None:  # closed by the caller; a file that is opened later must not get its number
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
    return stream


def _discard_what_cannot_be_written() -> None:
    """Discard unwritable output, so that Python's own flush at exit does not fail."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
                os.dup2(nowhere.fileno(), stream.fileno())


def _end_as_ctrl_c_does(number: int, frame: FrameType | None) -> None:
    """Treat SIGTERM as Ctrl-C: the command keeps what is done. Launchers and schedulers send it more than once."""
    global _terminated
    if _terminated:
        return
    _terminated = True
    interrupt(frame)
