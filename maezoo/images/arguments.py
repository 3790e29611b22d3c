"""An argument of images, looked at once: how many there are, and their items in order."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from typing_extensions import TypeAliasType

from maezoo.errors import ImageError
from maezoo.images.conversion import check_pixels
from maezoo.images.decoding import ImageLike, open_image
from maezoo.images.inputs import Scene, Sound, Text
from maezoo.images.reading import kind_of, read_bytes
from maezoo.images.window import Scaling

__all__ = ["ImageLikes", "Images", "look_at"]


@dataclass(frozen=True)
class Images:
    """Images, looked at.

    Attributes:
        total: how many there are; `None` when only their end will tell.
        tensor: all of them, (B, C, H, W) float and normalised, when that is what was given; `items` is then empty.
        items: image-likes, or tensors (C, H, W), in order.
        fleeting: each is asked for only once, and may change or be closed when the next one is.
    """

    total: int | None
    tensor: Tensor | None = None
    items: Iterable[Any] = ()
    fleeting: bool = False

    def chunks(self, size: int, scaling: Scaling) -> Iterator[list[Any]]:
        """Yield the items some at a time, no earlier than asked for; at least one chunk, if need be an empty one."""
        kept = (
            (_kept(item, index, scaling) for index, item in enumerate(self.items))
            if self.fleeting
            else iter(self.items)
        )
        yield list(islice(kept, size))
        while chunk := list(islice(kept, size)):
            yield chunk


ImageLikes = TypeAliasType(
    "ImageLikes", ImageLike | Tensor | Sequence[ImageLike | Tensor] | Iterable[ImageLike | Tensor] | Images
)  # a type that keeps its name, so that signatures are short
"""One image-like; a list, iterator or generator of them; a batch as a tensor; or what `look_at` gave."""


_ALONE: Any = str | os.PathLike | bytes | bytearray | memoryview | Image.Image | Scene | Sound | Text


def look_at(images: ImageLikes) -> Images:
    """Look at an argument of images, once: nothing of an iterator is taken, no file is opened.

    Raises:
        ImageError: images cannot be taken from it, or it is a tensor of another shape or dtype; the message
            says what it is.

    Example:
        >>> import torch
        >>> look_at("cat.jpg").total, look_at(torch.zeros(5, 3, 8, 8)).total, look_at(iter(["cat.jpg"])).total
        (1, 5, None)
    """
    if isinstance(images, Images):
        return images
    if isinstance(images, Tensor):
        return _look_at_tensor(images)
    if isinstance(images, np.ndarray):
        return _listed(_items_of_array(images))
    if isinstance(images, _ALONE) or hasattr(images, "read"):
        return _listed([images])
    if isinstance(images, Sequence):
        return _listed(images)
    return _look_at_iterable(images)


def _listed(items: Sequence[Any]) -> Images:
    return Images(len(items), items=items)


def _look_at_tensor(images: Tensor) -> Images:
    """Check a tensor's shape and values; one of integers becomes images of its own, which are resized like others."""
    batch = images[None] if images.ndim == 3 else images
    if batch.ndim != 4:
        raise ImageError(f"a tensor of images has the shape (B, C, H, W); got {tuple(images.shape)}.")
    if not batch.is_floating_point():
        return _listed(list(batch))
    return Images(len(batch), tensor=check_pixels(batch, "a tensor of images"))


def _items_of_array(array: NDArray[Any]) -> list[Any]:
    """Return the items of an array: one picture, a batch of them, or paths and other image-likes."""
    if array.dtype.kind not in "OSUT":
        return list(array) if array.ndim == 4 else [array]
    if array.ndim > 1:
        raise ImageError(f"an array of dtype {array.dtype} is a list of images, one axis long; got {array.shape}.")
    items = array.reshape(-1).tolist()
    return [os.fsdecode(item) for item in items] if array.dtype.kind == "S" else items


def _look_at_iterable(images: Any) -> Images:
    """Take an iterator, generator or other collection, whose items come in an order."""
    if hasattr(images, "pixel_array"):  # of pydicom
        raise ImageError(f"{kind_of(images)} is no image: pass the path of its file, or its values as an array.")
    table = hasattr(images, "keys") and getattr(images, "ndim", 2) != 1  # a Series of pandas has keys and one axis
    if isinstance(images, set | frozenset | Mapping) or table:
        raise ImageError(
            f"{kind_of(images)} is no list of images: pass a list, a column or the values, in their order."
        )
    try:
        items = iter(images)
    except TypeError:
        raise ImageError(
            f"cannot take images from {kind_of(images)}; pass a path, bytes, an open file, a PIL image, a uint8 or "
            "uint16 array, a tensor, or a list or iterator of them."
        ) from None
    return Images(len(images) if hasattr(images, "__len__") else None, items=items, fleeting=True)


def _kept(item: Any, index: int, scaling: Scaling) -> Any:
    """Return an item as it is now, whatever its source does with it later."""
    if isinstance(item, Scene | Sound):
        return replace(item, source=_kept(item.source, index, scaling))
    if isinstance(item, Tensor):
        return item.clone()
    if isinstance(item, np.ndarray):
        return item.copy()
    try:
        if isinstance(item, Image.Image):
            return open_image(item, name=f"image {index}", scaling=scaling)
        if isinstance(item, bytearray | memoryview) or hasattr(item, "read"):
            return read_bytes(item, f"image {index}")
    except ImageError as error:
        error.index = index
        raise
    return item
