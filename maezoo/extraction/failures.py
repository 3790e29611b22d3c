"""Images that could not be read, and whether another try may do better."""

import asyncio
import concurrent.futures
import errno
import http.client
import sys
from collections.abc import Iterator
from typing import Literal, NamedTuple

from PIL import UnidentifiedImageError

from maezoo.errors import DataError
from maezoo.images.decoding import READ_ERRORS

__all__ = ["Failure", "Kind", "decoding_failure", "reading_errors", "reading_failure"]

Kind = Literal["damaged", "unavailable", "passing"]
"""Why an image has no row.

`damaged`: its bytes cannot be decoded; it is never tried again. `unavailable`: it does not exist, may not be read, or
needs what this machine lacks; it counts as an error, and the same command tries it again. `passing`: reading it failed
for now; the run is not complete until the same command has read it.
"""

_ABSENT = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG}
)
_CLIENTS = {"aiohttp": "ClientError", "botocore.exceptions": "BotoCoreError"}  # of fsspec's file systems; no OSErrors


class Failure(NamedTuple):
    """An image that could not be read.

    Attributes:
        id: its name in the output.
        error: the name of the exception's class.
        message: its text.
        kind: whether another try may do better.
        number: the image's number in the list.
    """

    id: str
    error: str
    message: str
    kind: Kind = "damaged"
    number: int = 0


def reading_errors() -> tuple[type[BaseException], ...]:
    """Return what file systems, local and remote, raise when they cannot give a file's bytes."""
    clients = (getattr(sys.modules.get(module), name, None) for module, name in _CLIENTS.items())
    timeouts = (asyncio.TimeoutError, concurrent.futures.TimeoutError)  # until Python 3.10 these are no OSErrors
    others = (RuntimeError, ImportError, http.client.HTTPException)
    return (*READ_ERRORS, *timeouts, *others, *(each for each in clients if each))


def reading_failure(id: str, number: int, error: BaseException) -> Failure:
    """Describe an error that came while an image's bytes were read."""
    return _failure(id, number, error, _kind(error) or ("damaged" if isinstance(error, ValueError) else "passing"))


def decoding_failure(id: str, number: int, error: BaseException, start: bytes) -> Failure:
    """Describe an error that came while an image's bytes were decoded.

    Args:
        id: the image's.
        number: the image's.
        error: what was raised.
        start: the first bytes.
    """
    if start[4:8] == b"ftyp" and any(isinstance(each, UnidentifiedImageError) for each in _causes(error)):
        says = "it looks like HEIC or AVIF, which this Pillow cannot decode: pip install pillow-heif, then run again"
        return Failure(id, UnidentifiedImageError.__name__, says, "unavailable", number)
    return _failure(id, number, error, _kind(error) or "damaged")


def _kind(error: BaseException) -> Kind | None:
    """Return the kind of an error that is not the bytes' fault; `None` if it may be."""
    for each in _causes(error):
        if isinstance(each, MemoryError | ImportError | FileNotFoundError | PermissionError):
            return "unavailable"
        if isinstance(each, OSError) and each.errno is not None:  # Pillow's own OSErrors have no number
            return "unavailable" if each.errno in _ABSENT else "passing"
        if isinstance(each, ConnectionError | TimeoutError):
            return "passing"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from."""
    each: BaseException | None = error
    while each is not None:
        yield each
        each = each.__cause__


def _failure(id: str, number: int, error: BaseException, kind: Kind) -> Failure:
    cause = error if isinstance(error, DataError) else error.__cause__ or error
    return Failure(id, type(cause).__name__, _message(cause), kind, number)


def _message(error: BaseException) -> str:
    """Return an error's text as one short line, without the memory addresses that some of Pillow's contain."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.partition(" <_io.BytesIO")[0][:500]
