"""Opening files of pictures, bands and sounds: whatever a library raises becomes an error that says what is wrong."""

import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from PIL import Image, UnidentifiedImageError

from maezoo.errors import ImageError, MissingExtraError
from maezoo.images.pixels import READ_ERRORS

__all__ = ["guarded", "head_of", "is_heif", "unwarned"]

_HEAD = 132  # bytes
_HEIF = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_QUIET = threading.Lock()
_T = TypeVar("_T")


def guarded(source: Path | bytes, name: str, work: Callable[[], _T], *, what: str = "an image") -> _T:
    """Read a file, or say what is wrong with it.

    Args:
        source: the path or the bytes that `work` reads.
        name: what errors call it.
        work: reads it.
        what: the kind of file that it should be, for errors.

    Raises:
        ImageError: it cannot be read.
    """
    path = source if isinstance(source, Path) else None
    try:
        return unwarned(work)
    except ImageError as error:
        error.path = None if path is None else str(path)
        raise
    except MissingExtraError:
        raise
    except FileNotFoundError as error:
        raise ImageError(f"{name}: there is no such file.", path=path, reason="there is no such file") from error
    except IsADirectoryError as error:
        message = f"{name} is a folder; pass its files, or use `maezoo extract` for whole folders."
        raise ImageError(message, path=path, reason="it is a folder", command="maezoo extract") from error
    except READ_ERRORS as error:
        reason = _reason(source, error)
        raise ImageError(f"{name} cannot be read as {what}: {reason}.", path=path, reason=reason) from error


def unwarned(work: Callable[[], _T]) -> _T:
    """Decode; where warnings are errors, again without them: what Pillow only warns about is no reason to fail."""
    try:
        return work()
    except Warning:
        with _QUIET, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return work()


def head_of(source: Path | bytes) -> bytes:
    """Return the first bytes of a file, among which are the marks of its format."""
    if isinstance(source, bytes):
        return source[:_HEAD]
    with source.open("rb") as file:
        return file.read(_HEAD)


def is_heif(head: bytes) -> bool:
    """Tell whether a file that begins so is HEIC or a related format.

    Example:
        >>> is_heif(bytes(4) + b"ftypheic"), is_heif(b"BM")
        (True, False)
    """
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF


def _reason(source: Path | bytes, error: BaseException) -> str:
    """Say in a few words why a file could not be opened."""
    try:
        if (len(source) if isinstance(source, bytes) else source.stat().st_size) == 0:
            return "the file is empty"
        if isinstance(error, UnidentifiedImageError):
            heif = "it is HEIC, which needs a plug-in: pip install pillow-heif"
            return heif if is_heif(head_of(source)) else "its content is no image format that Pillow knows"
    except OSError:
        pass
    if isinstance(error, Image.DecompressionBombError):
        return f"{str(error).rstrip('.')}; if you trust it, raise PIL.Image.MAX_IMAGE_PIXELS"
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
