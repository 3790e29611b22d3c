"""One image-like to one upright RGB image."""

import importlib
import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from typing_extensions import TypeAliasType

from maezoo.errors import ImageError
from maezoo.images.dicom import is_dicom, read_dicom
from maezoo.images.guard import guarded, head_of, is_heif, unwarned
from maezoo.images.inputs import Scene, Sound, Text
from maezoo.images.pixels import READ_ERRORS, from_array, is_turned, upright_rgb
from maezoo.images.reading import as_path, file_lock, image_lock, kind_of, read_bytes
from maezoo.images.window import Scaling

__all__ = ["READ_ERRORS", "ImageLike", "Sized", "open_image", "open_sized"]

ImageLike = TypeAliasType(
    "ImageLike", str | os.PathLike[str] | bytes | IO[bytes] | Image.Image | NDArray[Any] | Scene | Sound | Text
)

Least = int | Callable[[int, int], tuple[int, int]]

_OVERSAMPLING = 2  # a JPEG is decoded at no less than this many times the size needed
_DRAFTED = ("JPEG", "MPO")  # decoded at a part of their size; the EXIF of others may come after the pixels


class Sized(NamedTuple):
    """A decoded picture, and the (width, height) that it has in its file, upright."""

    picture: Image.Image
    size: tuple[int, int]


def open_image(
    image: ImageLike, *, name: str = "image", least: Least | None = None, scaling: Scaling | None = None
) -> Image.Image:
    """Decode one image, turn it upright, and make it RGB.

    Args:
        image: a path, the bytes of a picture, a file open for reading bytes (read from its start, and left where it
            stood), a PIL image, or a uint8, uint16 or bool array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).
        name: what errors call it; a path is called by its own name.
        least: the smallest side that the caller needs: a JPEG is decoded at a half, quarter or eighth where that leaves
            twice as much. Or a function of the upright width and height, which gives the smallest of each.
        scaling: how more than 8 bits become 8; by the range of the number format, without a word, when `None`.

    Returns:
        An RGB image of its own. EXIF orientation is applied where it can be read, transparency laid over white, more
        than 8 bits scaled to 8, and the first frame of an animation taken.

    Raises:
        ImageError: nothing there, not an image, damaged, too large, or an array of another shape or dtype.
        MissingExtraError: a DICOM file, and pydicom is not installed.

    Example:
        >>> open_image(np.zeros((4, 6), np.uint8)).size
        (6, 4)
    """
    return open_sized(image, name=name, least=least, scaling=scaling).picture


def open_sized(
    image: ImageLike, *, name: str = "image", least: Least | None = None, scaling: Scaling | None = None
) -> Sized:
    """Decode one image as `open_image` does; also return the size that it has in its file.

    Example:
        >>> open_sized(np.zeros((4, 6), np.uint8)).size
        (6, 4)
    """
    scaling = Scaling(tell=None) if scaling is None else scaling
    if isinstance(image, Image.Image):
        return _decode(image, name, scaling)
    if isinstance(image, np.ndarray):
        return _decode(from_array(image, name, scaling), name, scaling)
    if isinstance(image, str | os.PathLike):
        path = as_path(image)
        return guarded(path, str(path), lambda: _open(path, str(path), least, scaling))
    if isinstance(image, bytes | bytearray | memoryview) or hasattr(image, "read"):
        data = read_bytes(image, name)
        return guarded(data, name, lambda: _open(data, name, least, scaling))
    raise ImageError(
        f"{name} is {kind_of(image)}; an image is a path, bytes, an open file, a PIL image, a uint8 or uint16 array "
        "(H, W) or (H, W, C), or a tensor (C, H, W), uint8 or float and normalised."
    )


def _open(source: Path | bytes, name: str, least: Least | None, scaling: Scaling) -> Sized:
    """Open and decode a file; what Pillow does not know may be HEIC, which a plug-in reads, or DICOM."""
    try:
        return _open_with_pillow(source, name, least, scaling)
    except UnidentifiedImageError:
        head = head_of(source)
        if is_dicom(head):
            picture = read_dicom(source, name, scaling)
            return Sized(picture, picture.size)
        if not (is_heif(head) and _can_read_heif()):
            raise
    return _open_with_pillow(source, name, least, scaling)


def _open_with_pillow(source: Path | bytes, name: str, least: Least | None, scaling: Scaling) -> Sized:
    with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as opened:
        size = opened.size
        if least is not None and (isinstance(least, int) or opened.format in _DRAFTED):
            opened.draft(None, _needed(opened, least))
        picture = upright_rgb(opened, name, scaling)
        turned = picture.size == opened.size[::-1] != opened.size  # by EXIF; some formats turn themselves when loaded
        return Sized(picture, size[::-1] if turned else size)


def _needed(image: Image.Image, least: Least) -> tuple[int, int]:
    """Return the width and height that a JPEG must be decoded at, as they are in its file."""
    if isinstance(least, int):
        return _OVERSAMPLING * least, _OVERSAMPLING * least
    turned = is_turned(image)
    width, height = least(*(image.size[::-1] if turned else image.size))
    return (height, width) if turned else (width, height)


def _decode(image: Image.Image, name: str, scaling: Scaling) -> Sized:
    """Decode an image that other threads may use too: one at a time, also of those that share a file."""
    try:
        with image_lock(image), file_lock(getattr(image, "fp", None)):
            picture = unwarned(lambda: upright_rgb(image, name, scaling))
        return Sized(picture, picture.size)
    except ImageError:
        raise
    except READ_ERRORS as error:
        reason = str(error) or type(error).__name__
        raise ImageError(f"{name} cannot be decoded: {reason}.", reason=reason) from error


def _can_read_heif() -> bool:
    """Register pillow-heif with Pillow where it is installed; tell whether it is."""
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError:
        return False
    return True
