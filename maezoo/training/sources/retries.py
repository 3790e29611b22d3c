"""Reading that is tried again when it fails for a reason that may pass, and what is left out for one that does not."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from maezoo.errors import ImageError
from maezoo.extraction.failures import reading_errors, reading_failure
from maezoo.extraction.remote import is_uri

__all__ = ["patiently", "why_unreadable"]

_log = logging.getLogger(__name__)
_WAITS = (0.5, 1.0, 2.0, 4.0)  # seconds before another try of what is not on this machine
_LOCAL_WAITS = (0.2,)  # disks of a network may come back
_T = TypeVar("_T")


def patiently(read: Callable[[], _T], name: str) -> _T:
    """Read, several times if need be.

    Args:
        read: reads, or raises.
        name: the path or URI, for errors.

    Raises:
        OSError: each try failed for a reason that may pass; the message has the name and the last reason.
        Exception: what `read` raised, where another try would do no better.
    """
    waits = _WAITS if is_uri(name) else _LOCAL_WAITS
    for wait in waits:
        try:
            return read()
        except reading_errors() as error:
            _raise_what_lasts(error, name)
            _log.info("%s: %s; trying again in %g s", name, error, wait)
        time.sleep(wait)
    try:
        return read()
    except reading_errors() as error:
        _raise_what_lasts(error, name)
        why = f"{name} cannot be read for now, after {len(waits) + 1} tries: {reading_failure(name, 0, error).message}"
        code = getattr(error, "errno", None)
        message = f"{why}. Run the same command again"
        raise (OSError(message) if code is None else OSError(code, message)) from error


def why_unreadable(name: str, number: int, error: BaseException) -> str:
    """Say why an image cannot be read, or raise the error if it could be read another time.

    Args:
        name: the image's.
        number: the image's.
        error: one of `reading_errors`.

    Raises:
        Exception: the error, where leaving the image out would make the result depend on chance.
    """
    failure = reading_failure(name, number, error)
    may_pass = failure.kind == "passing" and not isinstance(error, ImageError)
    if may_pass or isinstance(error.__cause__ or error, MemoryError):
        raise error
    return str(error) if name in str(error) else f"{name}: {failure.message}"


def _raise_what_lasts(error: BaseException, name: str) -> None:
    """Raise an error that another try would not change."""
    if reading_failure(name, 0, error).kind != "passing":
        raise error
