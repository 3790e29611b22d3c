"""One image-like to one upright RGB image."""

import importlib
import os
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffTags, UnidentifiedImageError

from maezoo.errors import ImageError
from maezoo.paths import user_path

__all__ = ["READ_ERRORS", "ImageLike", "kind_of", "open_image", "read_bytes", "to_uint8"]

ImageLike: TypeAlias = str | os.PathLike[str] | bytes | IO[bytes] | Image.Image | NDArray[Any]

READ_ERRORS = (
    OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError, MemoryError,
    NotImplementedError, RuntimeError, AssertionError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow's decoders and their plug-ins raise on damaged files, beyond the OSError that they document."""

_OVERSAMPLING = 2  # a JPEG is decoded at no less than this many times the size needed
_BYTES = bytes | bytearray | memoryview
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_ORIENTATION, _BITS_PER_SAMPLE = 0x0112, 258  # tags of EXIF and TIFF
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_HEIF = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})

# One image or file may be in several threads' hands. A lock for each would have to be kept somewhere: a few hundred,
# shared by what falls on the same number, do as well. Those of images are always taken before those of files.
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
        return _decode(_from_array(image, name), name)
    if isinstance(image, str | os.PathLike):
        if _URL.match(os.fspath(image)):
            raise ImageError(f"{os.fspath(image)}: URLs are not fetched; download it, and pass the file or its bytes.")
        path = user_path(image)
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
            raise ImageError(f"{name} cannot be read from {kind_of(source)}: {error or kind_of(error)}.") from error
    if not isinstance(data, _BYTES):
        raise ImageError(f"{name}: {kind_of(source)} gave {kind_of(data)}, not bytes; open the file with mode 'rb'.")
    return bytes(data)


def to_uint8(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Scale the values of an array to uint8.

    Raises:
        ImageError: it is not uint8, uint16 or bool.
    """
    if array.dtype == np.bool_:
        return np.where(array, 255, 0).astype(np.uint8)
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:  # of either byte order
        return (array // 257).astype(np.uint8)
    if array.dtype != np.uint8:
        raise ImageError(
            f"{name}: arrays must be uint8 (0 to 255) or uint16, not {array.dtype}; scale and convert it first."
        )
    values: NDArray[np.uint8] = array
    return values


def _from_array(array: NDArray[Any], name: str) -> Image.Image:
    """Wrap an array as an image."""
    array = to_uint8(array, name)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or 0 in array.shape:
        raise ImageError(f"{name}: arrays have the shape (H, W) or (H, W, 1, 3 or 4); got {array.shape}.")
    return Image.fromarray(np.ascontiguousarray(array))


def _read(source: Path | bytes, name: str, least: int | None) -> Image.Image:
    """Open and decode a file, or say what is wrong with it."""
    try:
        return _unwarned(lambda: _open(source, name, least))
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(f"{name}: there is no such file.") from error
    except IsADirectoryError as error:
        raise ImageError(f"{name} is a folder; pass its files, or use `maezoo extract` for whole folders.") from error
    except READ_ERRORS as error:
        raise ImageError(f"{name} cannot be read as an image: {_reason(source, error)}.") from error


def _open(source: Path | bytes, name: str, least: int | None) -> Image.Image:
    """Open and decode a file; for HEIC, which Pillow does not know, its plug-in is asked where it is installed."""
    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as opened:
            if least is not None:
                opened.draft(None, (_OVERSAMPLING * least, _OVERSAMPLING * least))
            return _upright_rgb(opened, name)
    except UnidentifiedImageError:
        if not (_is_heif(source) and _can_read_heif()):
            raise
    with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as opened:
        return _upright_rgb(opened, name)


def _decode(image: Image.Image, name: str) -> Image.Image:
    """Decode an image that others may hold too: not twice at once, and no two at once from one file."""
    try:
        with _lock_of(image, _IMAGE_LOCKS), _lock_of(getattr(image, "fp", None), _FILE_LOCKS):
            return _unwarned(lambda: _upright_rgb(image, name))
    except ImageError:
        raise
    except READ_ERRORS as error:
        raise ImageError(f"{name} cannot be decoded: {error or type(error).__name__}.") from error


def _lock_of(thing: object, locks: tuple[threading.Lock, ...]) -> threading.Lock:
    """Return the lock of an object."""
    return locks[id(thing) // 16 % len(locks)]


def _unwarned(work: Callable[[], Image.Image]) -> Image.Image:
    """Decode; where warnings are errors, once more without them: what Pillow only warns of costs no picture."""
    try:
        return work()
    except Warning:
        with _QUIET, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return work()


def _upright_rgb(image: Image.Image, name: str) -> Image.Image:
    """Load, turn upright and convert to RGB: an image of its own."""
    white = _white_of(image)
    _drop_broken_exif(image)
    image.load()
    turn = _UPRIGHT.get(_orientation(image))
    return _to_rgb(image.copy() if turn is None else image.transpose(turn), white, name)


def _drop_broken_exif(image: Image.Image) -> None:
    """Leave out what of a TIFF's EXIF cannot be parsed: Pillow reads it after the pixels, and fails with them."""
    if image.format != "TIFF" or not hasattr(image, "tag_v2"):
        return
    try:
        exif = image.getexif()
    except READ_ERRORS:
        exif = image.getexif()  # Pillow tries once: this is what it could parse
    for tag in TiffTags.TAGS_V2_GROUPS:
        try:
            if tag in exif:
                exif.get_ifd(tag)
        except READ_ERRORS:
            del exif[tag]


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1, upright, where there is none or none that can be parsed."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except READ_ERRORS:
        return 1


def _white_of(image: Image.Image) -> int | None:
    """Return the value of white in a picture of more than 8 bits; `None` where the file does not tell it."""
    if image.mode.startswith("I;16"):
        tags: Any = getattr(image, "tag_v2", {})
        bits = int(tags.get(_BITS_PER_SAMPLE, (16,))[0])
        return (1 << min(bits, 16)) - 1
    return 65535 if image.mode == "I" and image.format in ("PNG", "PPM") else None


def _to_rgb(image: Image.Image, white: int | None, name: str) -> Image.Image:
    """Convert any mode to RGB."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        return Image.fromarray(_to_8_bits(np.asarray(image).astype(np.int64), white, name)).convert("RGB")
    if image.mode == "F":
        raise ImageError(f"{name} holds floating-point pixels of unknown range; scale them to uint8 yourself.")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        backdrop = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(backdrop, layer).convert("RGB")
    return image.convert("RGB")


def _to_8_bits(values: NDArray[np.int64], white: int | None, name: str) -> NDArray[np.uint8]:
    """Scale whole numbers; where the file does not tell white, values up to 255 are of 8 bits and others of 16."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ImageError(
            f"{name} holds pixels from {low} to {high}, a range that no number of bits explains; "
            "scale them to uint8 or uint16 yourself."
        )
    scale = white or (255 if high <= 255 else 65535)
    return (values.clip(max=scale) * 255 // scale).astype(np.uint8)


def _is_heif(source: Path | bytes) -> bool:
    """Tell whether a file is HEIC or one of its kin."""
    if isinstance(source, bytes):
        head = source[:12]
    else:
        with source.open("rb") as file:
            head = file.read(12)
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF


def _can_read_heif() -> bool:
    """Let Pillow know of pillow-heif where it is installed: the one format that nothing could read before."""
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
