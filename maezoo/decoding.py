"""One image-like to one upright RGB image."""

import os
import struct
import zlib
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from maezoo.errors import ImageError
from maezoo.files import user_path

__all__ = ["READ_ERRORS", "ImageLike", "open_image"]

ImageLike: TypeAlias = str | os.PathLike[str] | Image.Image | NDArray[Any]

READ_ERRORS = (
    OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError, MemoryError,
    NotImplementedError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow's decoders raise on damaged files, beyond the OSError that they document."""

_OVERSAMPLING = 2  # a JPEG is decoded at no less than this many times the size needed


def open_image(image: ImageLike, *, name: str = "image", least: int | None = None) -> Image.Image:
    """Decode one image, turn it upright, and make it RGB.

    Args:
        image: a path, a PIL image, or a uint8 or uint16 array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).
        name: what errors call it; a path is called by its own name.
        least: the smallest side that the caller needs; a JPEG much larger is decoded at a half, quarter or eighth.

    Returns:
        An RGB image. EXIF orientation is applied, transparency laid over white, 16 bits scaled to 8, and the first
        frame of an animation taken.

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
    if not isinstance(image, str | os.PathLike):
        raise ImageError(
            f"{name} is a {type(image).__name__}; images are paths, PIL images, uint8 arrays (H, W, C), "
            "uint8 tensors (B, C, H, W) or normalised float tensors (B, C, H, W)."
        )
    path = user_path(image)
    try:
        with Image.open(path) as opened:
            if least is not None:
                opened.draft(None, (_OVERSAMPLING * least, _OVERSAMPLING * least))
            return _decode(opened, str(path))
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(f"{path}: there is no such file.") from error
    except IsADirectoryError as error:
        raise ImageError(f"{path} is a folder; pass its files, or use `maezoo extract` for whole folders.") from error
    except READ_ERRORS as error:
        raise ImageError(f"{path} cannot be read as an image: {_reason(path, error)}.") from error


def _from_array(array: NDArray[Any], name: str) -> Image.Image:
    """Wrap an array as an image."""
    if array.dtype == np.uint16:
        array = (array // 257).astype(np.uint8)
    if array.dtype != np.uint8:
        raise ImageError(
            f"{name}: arrays must be uint8 (0 to 255) or uint16, not {array.dtype}; scale and convert it first."
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or 0 in array.shape:
        raise ImageError(f"{name}: arrays have the shape (H, W) or (H, W, 1, 3 or 4); got {array.shape}.")
    return Image.fromarray(np.ascontiguousarray(array))


def _decode(image: Image.Image, name: str) -> Image.Image:
    """Load, turn upright and convert to RGB."""
    try:
        image.load()
        return _to_rgb(ImageOps.exif_transpose(image))
    except ImageError:
        raise
    except READ_ERRORS as error:
        raise ImageError(f"{name} cannot be decoded: {error or type(error).__name__}.") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):  # 16 bits; "I" is what Pillow makes of some 16-bit files
        values = np.asarray(image).astype(np.int64)
        return Image.fromarray((np.clip(values, 0, 65535) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ImageError("it holds floating-point pixels of unknown range; scale them to uint8 yourself.")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _reason(path: Path, error: BaseException) -> str:
    """Say in a few words why a file could not be opened."""
    try:
        if path.stat().st_size == 0:
            return "the file is empty"
    except OSError:
        pass
    if isinstance(error, UnidentifiedImageError):
        return "its content is no image format that Pillow knows"
    return str(error) or type(error).__name__
