"""Image-likes to model input: resized as the weights want it, uint8 up to the model's device, normalised there."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from maezoo.decoding import READ_ERRORS, ImageLike, open_image
from maezoo.errors import ImageError
from maezoo.preprocessing import Preprocessing

__all__ = [
    "READ_ERRORS",
    "ImageLike",
    "ImageLikes",
    "batches",
    "count_images",
    "denormalise",
    "normalise",
    "open_image",
    "prepare",
]

ImageLikes: TypeAlias = ImageLike | Tensor | Sequence[ImageLike]

_RESAMPLE = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def prepare(images: Sequence[ImageLike], preprocess: Preprocessing, in_chans: int = 3, *, first: int = 0) -> Tensor:
    """Decode and resize images to one uint8 batch.

    Args:
        images: image-likes.
        preprocess: the size and the resize rule.
        in_chans: channels wanted: 3 for RGB, 1 for grey; otherwise arrays (H, W, in_chans).
        first: number of the first image, for errors.

    Returns:
        (B, in_chans, H, W) uint8 on the CPU.

    Raises:
        ImageError: an image cannot be read; the message says which and why.

    Example:
        >>> prepare([np.zeros((40, 60, 3), np.uint8)], Preprocessing(size=(32, 32))).shape
        torch.Size([1, 3, 32, 32])
    """
    H, W = preprocess.size
    if not len(images):
        return torch.empty(0, in_chans, H, W, dtype=torch.uint8)
    arrays = [_prepare_one(image, preprocess, in_chans, f"image {first + i}") for i, image in enumerate(images)]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)  # (B, C, H, W)


def normalise(images: Tensor, preprocess: Preprocessing) -> Tensor:
    """Scale uint8 images to the model's input.

    Args:
        images: (B, C, H, W) uint8 on any device.
        preprocess: mean and standard deviation, repeated in turn for more channels, averaged for one.

    Returns:
        (B, C, H, W) float32 on the same device.

    Example:
        >>> normalise(torch.full((1, 3, 2, 2), 255, dtype=torch.uint8), Preprocessing((2, 2))).max() > 2
        tensor(True)
    """
    mean, std = _statistics(preprocess, images.shape[1], images.device)
    return images.float().mul_(1 / (255 * std)).sub_(mean / std)


def denormalise(images: Tensor, preprocess: Preprocessing) -> Tensor:
    """Turn model input back to pixels in [0, 1], clipped: (B, C, H, W) float32.

    Example:
        >>> pixels = torch.randint(0, 256, (1, 3, 4, 4), dtype=torch.uint8)
        >>> preprocess = Preprocessing((4, 4))
        >>> torch.allclose(denormalise(normalise(pixels, preprocess), preprocess), pixels / 255, atol=1e-6)
        True
    """
    mean, std = _statistics(preprocess, images.shape[1], images.device)
    return (images.float() * std + mean).clamp(0, 1)


def count_images(images: ImageLikes) -> int:
    """Return how many images an argument holds.

    Example:
        >>> count_images("cat.jpg"), count_images(torch.zeros(5, 3, 8, 8))
        (1, 5)
    """
    return len(_as_list_or_batch(images))


def batches(images: ImageLikes, preprocess: Preprocessing, in_chans: int, batch_size: int) -> Iterator[Tensor]:
    """Yield the images as model input, some at a time; the next batch is decoded meanwhile.

    Args:
        images: one image-like, a list of them, a uint8 tensor, or a normalised float tensor (B, C, H, W).
        preprocess: of the model's weights.
        in_chans: channels of the model's input.
        batch_size: images at a time.

    Yields:
        (b, C, H, W): uint8, to be normalised, or the float tensor's own rows. One empty batch when there is no image.

    Raises:
        ImageError: an image cannot be read, or a tensor has a wrong shape, dtype or NaN.
        ValueError: batch_size is not positive.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}.")
    items = _as_list_or_batch(images)
    starts = range(0, max(1, len(items)), batch_size)
    if isinstance(items, Tensor):
        yield from (items[start : start + batch_size] for start in starts)
        return
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:

        def decode(start: int) -> list[Future[Tensor]]:
            chunk = items[start : start + batch_size]
            return [pool.submit(prepare, [x], preprocess, in_chans, first=start + i) for i, x in enumerate(chunk)]

        upcoming = decode(0)
        for start in starts:
            current, upcoming = upcoming, decode(start + batch_size)
            parts = [future.result() for future in current]
            yield torch.cat(parts) if parts else prepare([], preprocess, in_chans)


def _as_list_or_batch(images: ImageLikes) -> Sequence[ImageLike] | Tensor:
    """Return image-likes as a list, or a float tensor as a checked batch."""
    if isinstance(images, Tensor):
        return _check_tensor(images)
    if isinstance(images, np.ndarray) and images.ndim == 4:
        return list(images)
    if isinstance(images, str | os.PathLike | Image.Image | np.ndarray):
        return [images]
    if isinstance(images, Sequence):
        return images
    if hasattr(images, "__iter__"):
        return list(images)
    raise ImageError(
        f"cannot take images from a {type(images).__name__}; pass a path, a PIL image, an array, a tensor or a list."
    )


def _check_tensor(images: Tensor) -> Sequence[ImageLike] | Tensor:
    """Check a tensor of images; a uint8 one becomes a list of arrays."""
    if images.ndim == 3:
        images = images[None]
    if images.ndim != 4:
        raise ImageError(f"a tensor of images has the shape (B, C, H, W); got {tuple(images.shape)}.")
    if images.dtype == torch.uint8:
        return list(images.permute(0, 2, 3, 1).cpu().numpy())  # (H, W, C) each
    if not images.is_floating_point():
        raise ImageError(f"a tensor of images is uint8 (0 to 255) or float (already normalised); got {images.dtype}.")
    if not bool(torch.isfinite(images).all()):
        raise ImageError("the tensor of images holds NaN or infinity.")
    return images


def _prepare_one(image: ImageLike, preprocess: Preprocessing, in_chans: int, name: str) -> NDArray[np.uint8]:
    """Decode and resize one image to (H, W, C) uint8."""
    if isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == in_chans and in_chans not in (1, 3):
        if image.dtype != np.uint8:
            raise ImageError(f"{name}: arrays of {in_chans} channels must be uint8, not {image.dtype}.")
        planes = [Image.fromarray(np.ascontiguousarray(image[:, :, c])) for c in range(in_chans)]
        return np.stack([np.asarray(_resize(plane, preprocess)) for plane in planes], axis=2)
    if in_chans not in (1, 3):
        raise ImageError(f"{name}: this model takes {in_chans} channels; pass arrays (H, W, {in_chans}) or tensors.")
    picture = _resize(open_image(image, name=name, least=_least_side(preprocess)), preprocess)
    if in_chans == 1:
        return np.asarray(picture.convert("L"))[:, :, None]
    return np.asarray(picture)


def _least_side(preprocess: Preprocessing) -> int:
    """Return the side that both sides of a decoded image must at least have to be scaled down only."""
    return round(max(preprocess.size) / preprocess.crop_pct)


def _resize(image: Image.Image, preprocess: Preprocessing) -> Image.Image:
    """Resize to the model's input in one step, reading only the part that is kept."""
    H, W = preprocess.size
    box = None if preprocess.resize == "squash" else _crop_box(image.size, (H, W), preprocess.crop_pct)
    return image.resize((W, H), _RESAMPLE[preprocess.interpolation], box=box)


def _crop_box(source: tuple[int, int], size: tuple[int, int], crop_pct: float) -> tuple[float, float, float, float]:
    """Return the part of a (width, height) image that "resize to cover, then cut the centre" keeps."""
    width, height = source
    H, W = size
    scale = max(int(H / crop_pct) / height, int(W / crop_pct) / width)
    resized = max(W, int(width * scale + 1e-6)), max(H, int(height * scale + 1e-6))
    left, top = round((resized[0] - W) / 2), round((resized[1] - H) / 2)
    x, y = width / resized[0], height / resized[1]
    return left * x, top * y, min(width, (left + W) * x), min(height, (top + H) * y)


def _statistics(preprocess: Preprocessing, channels: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation for a number of channels, each (C, 1, 1)."""

    def spread(values: tuple[float, ...]) -> Tensor:
        if channels == 1:
            values = (sum(values) / len(values),)
        row = [values[channel % len(values)] for channel in range(channels)]
        return torch.tensor(row, device=device).view(-1, 1, 1)

    return spread(preprocess.mean), spread(preprocess.std)
