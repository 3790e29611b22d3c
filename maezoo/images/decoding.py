"""One image-like to one upright RGB image."""

import importlib
import os
import re
import threading
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from typing_extensions import TypeAliasType

from maezoo.errors import ImageError
from maezoo.files import is_stream
from maezoo.images.pixels import READ_ERRORS, from_array, upright_rgb
from maezoo.paths import user_path

__all__ = ["READ_ERRORS", "ImageLike", "kind_of", "open_image", "read_bytes"]

ImageLike = TypeAliasType("ImageLike", str | os.PathLike[str] | bytes | IO[bytes] | Image.Image | NDArray[Any])

_OVERSAMPLING = 2  # a JPEG is decoded at no less than this many times the size needed
_BYTES = bytes | bytearray | memoryview
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_HEIF = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})

# Several threads may use one image or file at once. In place of a lock for each, which would have to be stored, there
# are a few hundred, shared by objects with the same hash. An image's lock is always taken before its file's.
_IMAGE_LOCKS = tuple(threading.Lock() for _ in range(509))
_FILE_LOCKS = tuple(threading.Lock() for _ in range(509))
_QUIET = threading.Lock()


def open_image(image: ImageLike, *, name: str = "image", least: int | None = None) -> Image.Image:
    """Decode one image, turn it upright, and make it RGB.

    Args:
        image: a path, the bytes of a picture, a file open for reading bytes (read from its start), a PIL image, or a
            uint8, uint16 or bool array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).
        name: what errors call it; a path is called by its own name.
        least: the smallest side that the caller needs; a JPEG much larger is decoded at a half, quarter or eighth.

    Returns:
        An RGB image of its own. EXIF orientation is applied where it can be read, transparency laid over white, more
        than 8 bits scaled to 8, and the first frame of an animation taken.

    Raises:
        ImageError: nothing there, not an image, damaged, too large, or an array of another shape or dtype.

    Example:
        >>> open_image(np.zeros((4, 6), np.uint8)).size
        (6, 4)
    """
    if isinstance(image, Image.Image):
        return _decode(image, name)
    if isinstance(image, np.ndarray):
        return _decode(from_array(image, name), name)
    if isinstance(image, str | os.PathLike):
        if _URL.match(os.fspath(image)):
            raise ImageError(
                f"{os.fspath(image)}: URLs are not fetched; download it, and pass the file or its bytes.",
                url=os.fspath(image),
                reason="URLs are not fetched",
            )
        path = user_path(image)
        if is_stream(path):  # opening one waits for whoever writes to it, without an end
            reason = "it is a pipe, a socket or a device"
            raise ImageError(f"{path} cannot be read: {reason}; pass a file, or its bytes.", path=path, reason=reason)
        return _read(path, str(path), least)
    if isinstance(image, _BYTES) or hasattr(image, "read"):
        return _read(read_bytes(image, name), name, least)
    raise ImageError(
        f"{name} is {kind_of(image)}; an image is a path, bytes, an open file, a PIL image, a uint8 or uint16 array "
        "(H, W) or (H, W, C), or a tensor (C, H, W), uint8 or float and normalised."
    )


def kind_of(thing: object) -> str:
    """Name the type of something, with its article.

    Example:
        >>> kind_of(3), kind_of("x")
        ('an int', 'a str')
    """
    name = type(thing).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def read_bytes(source: Any, name: str) -> bytes:
    """Return bytes, or all bytes of an open file from its start on; one file may be asked for by several threads.

    Raises:
        ImageError: the file is closed, cannot be read, or is open as text.
    """
    if isinstance(source, _BYTES):
        return bytes(source)
    with _lock_of(source, _FILE_LOCKS):
        try:
            if hasattr(source, "seek") and getattr(source, "seekable", lambda: True)():
                source.seek(0)
            data = source.read()
        except READ_ERRORS as error:
            reason = str(error) or kind_of(error)
            raise ImageError(f"{name} cannot be read from {kind_of(source)}: {reason}.", reason=reason) from error
    if not isinstance(data, _BYTES):
        raise ImageError(f"{name}: {kind_of(source)} gave {kind_of(data)}, not bytes; open the file with mode 'rb'.")
    return bytes(data)


def _read(source: Path | bytes, name: str, least: int | None) -> Image.Image:
    """Open and decode a file, or say what is wrong with it."""
    path = source if isinstance(source, Path) else None
    try:
        return _unwarned(lambda: _open(source, name, least))
    except ImageError as error:
        error.path = None if path is None else str(path)
        raise
    except FileNotFoundError as error:
        raise ImageError(f"{name}: there is no such file.", path=path, reason="there is no such file") from error
    except IsADirectoryError as error:
        message = f"{name} is a folder; pass its files, or use `maezoo extract` for whole folders."
        raise ImageError(message, path=path, reason="it is a folder", command="maezoo extract") from error
    except READ_ERRORS as error:
        reason = _reason(source, error)
        raise ImageError(f"{name} cannot be read as an image: {reason}.", path=path, reason=reason) from error


def _open(source: Path | bytes, name: str, least: int | None) -> Image.Image:
    """Open and decode a file; for HEIC, which Pillow does not know, its plug-in is asked where it is installed."""
    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as opened:
            if least is not None:
                opened.draft(None, (_OVERSAMPLING * least, _OVERSAMPLING * least))
            return upright_rgb(opened, name)
    except UnidentifiedImageError:
        if not (_is_heif(source) and _can_read_heif()):
            raise
    with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as opened:
        return upright_rgb(opened, name)


def _decode(image: Image.Image, name: str) -> Image.Image:
    """Decode an image that other threads may use too: one at a time, also of those that share a file."""
    try:
        with _lock_of(image, _IMAGE_LOCKS), _lock_of(getattr(image, "fp", None), _FILE_LOCKS):
            return _unwarned(lambda: upright_rgb(image, name))
    except ImageError:
        raise
    except READ_ERRORS as error:
        reason = str(error) or type(error).__name__
        raise ImageError(f"{name} cannot be decoded: {reason}.", reason=reason) from error


def _lock_of(thing: object, locks: tuple[threading.Lock, ...]) -> threading.Lock:
    """Return the lock of an object."""
    return locks[id(thing) // 16 % len(locks)]


def _unwarned(work: Callable[[], Image.Image]) -> Image.Image:
    """Decode; where warnings are errors, again without them: what Pillow only warns about is no reason to fail."""
    try:
        return work()
    except Warning:
        with _QUIET, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return work()


def _is_heif(source: Path | bytes) -> bool:
    """Tell whether a file is HEIC or a related format."""
    if isinstance(source, bytes):
        head = source[:12]
    else:
        with source.open("rb") as file:
            head = file.read(12)
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF


def _can_read_heif() -> bool:
    """Register pillow-heif with Pillow where it is installed; tell whether it is."""
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError:
        return False
    return True


def _reason(source: Path | bytes, error: BaseException) -> str:
    """Say in a few words why a file could not be opened."""
    try:
        if (len(source) if isinstance(source, bytes) else source.stat().st_size) == 0:
            return "the file is empty"
        if isinstance(error, UnidentifiedImageError):
            heif = "it is HEIC, which needs a plug-in: pip install pillow-heif"
            return heif if _is_heif(source) else "its content is no image format that Pillow knows"
    except OSError:
        pass
    if isinstance(error, Image.DecompressionBombError):
        return f"{str(error).rstrip('.')}; if you trust it, raise PIL.Image.MAX_IMAGE_PIXELS"
    return str(error).rstrip(".") or type(error).__name__
