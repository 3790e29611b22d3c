"""What the pixels of a file or an array mean: which side is up, how many bits they have, what white is."""

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffTags

from maezoo.errors import ImageError

__all__ = ["READ_ERRORS", "from_array", "to_uint8", "upright_rgb"]

READ_ERRORS = (
    OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError, MemoryError,
    NotImplementedError, RuntimeError, AssertionError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow's decoders and their plug-ins raise on damaged files, beyond the OSError that they document."""


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


def upright_rgb(image: Image.Image, name: str) -> Image.Image:
    """Load, turn upright and convert to RGB: an image of its own."""
    white = _white_of(image)
    _drop_broken_exif(image)
    image.load()
    turn = _UPRIGHT.get(_orientation(image))
    return _to_rgb(image.copy() if turn is None else image.transpose(turn), white, name)


def _drop_broken_exif(image: Image.Image) -> None:
    """Drop the parts of a TIFF's EXIF that cannot be parsed: Pillow reads them after the pixels, and would fail."""
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
    """Return the EXIF orientation; 1 (upright) where it is missing or cannot be parsed."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except READ_ERRORS:
        return 1


def _white_of(image: Image.Image) -> int | None:
    """Return the value of white in a picture of more than 8 bits; `None` where the file does not say."""
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
    """Scale integers to 8 bits; where white is unknown, a picture of values up to 255 has 8 bits, any other 16."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ImageError(
            f"{name} holds pixels from {low} to {high}, a range that no number of bits explains; "
            "scale them to uint8 or uint16 yourself."
        )
    scale = white or (255 if high <= 255 else 65535)
    return (values.clip(max=scale) * 255 // scale).astype(np.uint8)


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


def from_array(array: NDArray[Any], name: str) -> Image.Image:
    """Wrap an array as an image."""
    array = to_uint8(array, name)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or 0 in array.shape:
        raise ImageError(f"{name}: arrays have the shape (H, W) or (H, W, 1, 3 or 4); got {array.shape}.")
    return Image.fromarray(np.ascontiguousarray(array))
