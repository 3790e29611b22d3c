"""What the pixels of a file or an array mean: which side is up, how many bits they have, what white is."""

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffTags

from maezoo.errors import ImageError
from maezoo.images.window import Scaling

__all__ = ["READ_ERRORS", "from_array", "is_turned", "to_uint8", "upright_rgb"]

READ_ERRORS = (
    OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError, MemoryError,
    NotImplementedError, RuntimeError, AssertionError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow's decoders and their plug-ins raise on damaged files, beyond the OSError that they document."""


_ORIENTATION, _BITS_PER_SAMPLE, _PLANAR = 0x0112, 258, 284  # tags of EXIF and TIFF
_GREY_STEPS = {"L;2": 85, "L;4": 17}  # from one grey to the next, where 2 or 4 bits become 8
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright_rgb(image: Image.Image, name: str, scaling: Scaling) -> Image.Image:
    """Load, turn upright and convert to RGB: an image of its own."""
    _refuse_planes(image, name)
    white, cut, key = _white_of(image), _is_cut_to_8_bits(image), _transparent_value(image)
    _drop_broken_exif(image)
    image.load()
    turn = _UPRIGHT.get(_orientation(image))
    upright = image.copy() if turn is None else image.transpose(turn)
    if cut:
        _check_cut(upright, name, scaling)
    upright.info |= key
    return _to_rgb(upright, white, name, scaling)


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


def is_turned(image: Image.Image) -> bool:
    """Whether width and height change places when an image is turned upright."""
    return _orientation(image) >= 5


def _white_of(image: Image.Image) -> int | None:
    """Return the value of white in a picture of more than 8 bits; `None` where the file does not say."""
    if image.mode.startswith("I;16"):
        tags: Any = getattr(image, "tag_v2", {})
        bits = int(tags.get(_BITS_PER_SAMPLE, (16,))[0])
        return (1 << min(bits, 16)) - 1
    return 65535 if image.mode == "I" and image.format in ("PNG", "PPM") else None


def _refuse_planes(image: Image.Image, name: str) -> None:
    """Refuse a TIFF with one plane after the other, each of 16 bits: Pillow takes their bytes for pixels of 8 bits."""
    tags: Any = getattr(image, "tag_v2", {})
    if (
        tags.get(_PLANAR) != 2
        or len(image.getbands()) == 1
        or any(part[0] != "raw" for part in getattr(image, "tile", ()))
    ):
        return  # compressed planes are read by libtiff, and rightly
    if max(tags.get(_BITS_PER_SAMPLE, (8,))) > 8:
        raise ImageError(
            f"{name} is a TIFF with planes of 16 bits, which Pillow misreads; read it with another library (tifffile, "
            "imageio), and pass the uint16 array (H, W, C).",
            reason="planes of 16 bits",
        )


def _is_cut_to_8_bits(image: Image.Image) -> bool:
    """Whether Pillow keeps the upper 8 of 16 bits, as it does with more than one channel."""
    return not image.mode.startswith("I") and any(";16" in str(part[3]) for part in getattr(image, "tile", ()))


def _transparent_value(image: Image.Image) -> dict[str | tuple[int, int], Any]:
    """Return a PNG's transparent grey or colour as its pixels come out; Pillow leaves it in the bits of the file."""
    value = image.info.get("transparency")
    raw = next((str(part[3]) for part in getattr(image, "tile", ()) if image.format == "PNG"), "")
    if isinstance(value, int) and raw in _GREY_STEPS:
        return {"transparency": value * _GREY_STEPS[raw]}
    return {"transparency": tuple(each >> 8 for each in value)} if isinstance(value, tuple) and ";16" in raw else {}


def _check_cut(image: Image.Image, name: str, scaling: Scaling) -> None:
    """Refuse a window on a picture of which Pillow has read the upper 8 bits; note one that has little in them."""
    if scaling.window != "full":
        raise ImageError(
            f"{name} has 16 bits in each of several channels, and Pillow reads the upper 8 of them, too few for a "
            "window; read it with another library (tifffile, imageio, OpenCV), and pass the uint16 array.",
            reason="16 bits in several channels",
        )
    values = np.asarray(image.convert("RGB"))
    scaling.note(name, (257 * int(values.min()), 257 * int(values.max())), (0, 65535))


def _to_rgb(image: Image.Image, white: int | None, name: str, scaling: Scaling) -> Image.Image:
    """Convert any mode to RGB."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        grey = scaling.to_uint8(values, name, _range_of(values, white))
        if isinstance(clear := image.info.get("transparency"), int):
            grey = np.where(values == clear, np.uint8(255), grey)
        return Image.fromarray(grey).convert("RGB")
    if image.mode == "La":
        image = image.convert("LA")  # the only mode that Pillow converts it to
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        backdrop = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(backdrop, layer).convert("RGB")
    return image.convert("RGB")


def _range_of(values: NDArray[Any], white: int | None) -> tuple[int, int] | None:
    """Return the range of a picture's format; where white is unknown, values up to 255 have 8 bits, others 16."""
    if white is not None:
        return 0, white
    low, high = values.min(), values.max()
    if values.dtype.kind == "f" or low < 0 or high > 65535:
        return None
    return 0, 255 if high <= 255 else 65535


def to_uint8(array: NDArray[Any], name: str, scaling: Scaling) -> NDArray[np.uint8]:
    """Scale the values of an array to uint8.

    Raises:
        ImageError: it holds other things than numbers, or numbers whose range is neither known nor given.
    """
    if array.dtype == np.bool_:
        return np.where(array, 255, 0).astype(np.uint8)
    if array.dtype == np.uint8:
        values: NDArray[np.uint8] = array
        return values
    if array.dtype == np.uint16 or array.dtype == ">u2":  # of either byte order
        return scaling.to_uint8(array, name, (0, 65535))
    if array.dtype.kind not in "iuf" or scaling.window == "full":
        numbers = array.dtype.kind in "iuf"
        raise ImageError(
            f"{name}: arrays must be uint8 (0 to 255) or uint16, not {array.dtype}; scale and convert it first"
            + (", or create the model with window='percentiles', 'auto' or (low, high)." if numbers else ".")
        )
    return scaling.to_uint8(array, name)


def from_array(array: NDArray[Any], name: str, scaling: Scaling) -> Image.Image:
    """Wrap an array as an image."""
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)) or 0 in array.shape:
        raise ImageError(f"{name}: arrays have the shape (H, W) or (H, W, 1, 3 or 4); got {array.shape}.")
    if array.ndim == 3 and array.shape[2] == 4:  # transparency is no brightness: no window applies to it
        colours = to_uint8(array[:, :, :3], name, scaling)
        pixels = np.concatenate([colours, to_uint8(array[:, :, 3:], name, Scaling(tell=None))], axis=2)
    else:
        pixels = to_uint8(array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array, name, scaling)
    return Image.fromarray(np.ascontiguousarray(pixels))
