"""Images yielded as model input, some at a time; the next ones are decoded meanwhile."""

import operator
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from typing import Any, SupportsIndex

import torch
from torch import Tensor

from maezoo.errors import ArgumentError, ImageError
from maezoo.images.arguments import ImageLikes, Images, look_at
from maezoo.images.conversion import denormalise, input_of, least_side, normalise, prepare, prepare_upright
from maezoo.images.decoding import READ_ERRORS, ImageLike, open_image, open_sized
from maezoo.images.preprocessing import Preprocessing
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
