"""An argument of images: looked at once, then yielded as model input, some at a time."""

import operator
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import Any, SupportsIndex

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from typing_extensions import TypeAliasType

from maezoo.errors import ArgumentError, ImageError
from maezoo.images.conversion import (
    check_pixels,
    denormalise,
    input_of,
    least_side,
    normalise,
    prepare,
    prepare_upright,
)
from maezoo.images.decoding import READ_ERRORS, ImageLike, open_image, open_sized
from maezoo.images.inputs import Scene, Sound, Text
from maezoo.images.preprocessing import Preprocessing
from maezoo.images.reading import kind_of, read_bytes
from maezoo.images.window import Scaling

__all__ = [
    "READ_ERRORS",
    "ImageLike",
    "ImageLikes",
    "Images",
    "batches",
    "denormalise",
    "least_side",
    "look_at",
    "normalise",
    "open_image",
    "open_sized",
    "prepare",
    "prepare_upright",
]


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


def batches(images: ImageLikes, preprocess: Preprocessing, in_chans: int, batch_size: int) -> Iterator[Tensor]:
    """Yield the images as model input, some at a time; the next batch is decoded meanwhile.

    Args:
        images: one image-like; a list, iterator or generator of them; a uint8 tensor, or a normalised float tensor
            (B, C, H, W). No more than two batches are taken from an iterator at once.
        preprocess: of the model's weights.
        in_chans: channels of the model's input.
        batch_size: images at a time.

    Yields:
        (b, C, H, W): uint8, to be normalised, or normalised floats where a float tensor is among the images, or they
        have more than 8 bits. One empty batch when there is no image. Of texts, consecutive ones of one width.

    Raises:
        ImageError: an image cannot be read, or a tensor has a wrong shape, dtype or NaN.
        ArgumentError: batch_size is not positive.
    """
    size = _check_batch_size(batch_size)
    given = look_at(images)
    if given.tensor is not None:
        yield from (given.tensor[start : start + size] for start in range(0, max(1, len(given.tensor)), size))
        return
    done, shape, scaling = 0, None, Scaling(preprocess.window)
    pool = ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1))
    try:
        for futures in _ahead(pool, given.chunks(size, scaling), preprocess, in_chans, scaling):
            parts = [_result(future) for future in futures]
            if not parts:
                yield prepare([], preprocess, in_chans)
                return
            if preprocess.kind == "text":  # a text is as wide as it is long; those of one width are a batch
                yield from (_join(list(run), preprocess) for _, run in groupby(parts, lambda part: part.shape))
                continue
            shape = _check_shapes(parts, shape, done)
            done += len(parts)
            yield _join(parts, preprocess)
    finally:
        pool.shutdown(cancel_futures=True)  # after an error the rest of two batches is not decoded


def _ahead(
    pool: ThreadPoolExecutor, chunks: Iterator[list[Any]], preprocess: Preprocessing, in_chans: int, scaling: Scaling
) -> Iterator[list[Future[Tensor]]]:
    """Yield the images of each chunk, being decoded, when those of the next one are being decoded too."""
    upcoming: list[Future[Tensor]] | None = None
    first = 0
    for chunk in chunks:
        current = upcoming
        upcoming = [pool.submit(input_of, x, preprocess, in_chans, first + i, scaling) for i, x in enumerate(chunk)]
        first += len(chunk)
        if current is not None:
            yield current
    if upcoming is not None:
        yield upcoming


def _result(future: Future[Tensor]) -> Tensor:
    """Return an image; its error is raised without the frames of the thread: the message has all that they tell."""
    error = future.exception()
    if isinstance(error, ImageError):
        raise error.with_traceback(None) from None
    return future.result()


def _check_batch_size(batch_size: SupportsIndex) -> int:
    """Return a number of images at a time as a Python int."""
    size = operator.index(batch_size) if isinstance(batch_size, SupportsIndex) else 0
    if size < 1:
        raise ArgumentError(f"batch_size is a whole number and must be at least 1, not {batch_size}.", found=batch_size)
    return size


def _check_shapes(parts: list[Tensor], shape: torch.Size | None, first: int) -> torch.Size:
    """Return the one shape (C, H, W) of all images of a call."""
    for index, part in enumerate(parts):
        if shape is not None and part.shape[1:] != shape:
            raise ImageError(
                f"image {first + index} is (C, H, W) = {tuple(part.shape[1:])}, those before it {tuple(shape)}: float "
                "tensors are not resized; give all of them, and the image-likes next to them, one size.",
                index=first + index,
                expected=tuple(shape),
                found=tuple(part.shape[1:]),
            )
        shape = part.shape[1:]
    return parts[0].shape[1:]


def _join(parts: list[Tensor], preprocess: Preprocessing) -> Tensor:
    """Join images to a batch, normalising those of uint8 if others are normalised already."""
    if len({part.dtype for part in parts}) > 1 and any(part.dtype == torch.uint8 for part in parts):
        parts = [normalise(part, preprocess) if part.dtype == torch.uint8 else part for part in parts]
    if len({part.device for part in parts}) > 1:
        parts = [part.cpu() for part in parts]
    return torch.cat(parts)


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
