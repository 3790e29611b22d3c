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

`damaged`: its bytes are no image that can be decoded; it is never tried again. `unavailable`: it is not there, may not
be read, or needs what this machine lacks; it is an error until the same command finds it. `passing`: reading it failed
for now; the run is not complete until the same command reads it.
"""

_ABSENT = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG}
)
_CLIENTS = {"aiohttp": "ClientError", "botocore.exceptions": "BotoCoreError"}  # of fsspec's file systems; no OSErrors


class Failure(NamedTuple):
    """An image that could not be read.

    Attributes:
        id: its name in the output.
        error: the class of what was raised.
        message: what it said.
        kind: whether another try may do better.
        number: the image's number in the list.
    """

    id: str
    error: str
    message: str
    kind: Kind = "damaged"
    number: int = 0


def reading_errors() -> tuple[type[BaseException], ...]:
    """Return what file systems, here and far away, raise when they cannot give a file's bytes."""
    clients = (getattr(sys.modules.get(module), name, None) for module, name in _CLIENTS.items())
    timeouts = (asyncio.TimeoutError, concurrent.futures.TimeoutError)  # until Python 3.10 these are no OSErrors
    others = (RuntimeError, ImportError, http.client.HTTPException)
    return (*READ_ERRORS, *timeouts, *others, *(each for each in clients if each))


def reading_failure(id: str, number: int, error: BaseException) -> Failure:
    """Word an error that came before an image's bytes were here."""
    return _failure(id, number, error, _kind(error) or ("damaged" if isinstance(error, ValueError) else "passing"))


def decoding_failure(id: str, number: int, error: BaseException, start: bytes) -> Failure:
    """Word an error that came when an image's bytes were decoded.

    Args:
        id: the image's.
        number: the image's.
        error: what was raised.
        start: the first bytes.
    """
    if isinstance(error, UnidentifiedImageError) and start[4:8] == b"ftyp":
        says = "it looks like HEIC or AVIF, which this Pillow cannot decode: pip install pillow-heif, then run again"
        return Failure(id, type(error).__name__, says, "unavailable", number)
    return _failure(id, number, error, _kind(error) or "damaged")


def _kind(error: BaseException) -> Kind | None:
    """Tell what is not the bytes' fault; `None` where nothing speaks against them."""
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
    """Say on one short line what an error says, without the objects' addresses that some messages hold."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.partition(" <_io.BytesIO")[0][:500]
