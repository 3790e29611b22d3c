"""Image-likes to model input: resized as the weights want it, uint8 up to the model's device, normalised there."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from maezoo.errors import ImageError
from maezoo.images.decoding import ImageLike
from maezoo.images.fields import prepare_array, takes_pictures
from maezoo.images.preprocessing import Preprocessing
from maezoo.images.resizing import channel_statistics, least_side, resized
from maezoo.images.window import Scaling

__all__ = ["check_pixels", "denormalise", "input_of", "least_side", "normalise", "prepare", "prepare_upright"]


def prepare(images: Sequence[ImageLike], preprocess: Preprocessing, in_chans: int = 3, *, first: int = 0) -> Tensor:
    """Decode and resize images to one batch.

    Args:
        images: image-likes.
        preprocess: the size and the resize rule.
        in_chans: channels wanted: 3 for RGB, 1 for grey; otherwise arrays (H, W, in_chans).
        first: number of the first image, for errors.

    Returns:
        (B, in_chans, H, W) on the CPU: uint8, or normalised floats where the input has more than 8 bits.

    Raises:
        ImageError: an image cannot be read; the message says which and why.

    Example:
        >>> prepare([np.zeros((40, 60, 3), np.uint8)], Preprocessing(size=(32, 32))).shape
        torch.Size([1, 3, 32, 32])
    """
    H, W = preprocess.size
    if not len(images):
        return torch.empty(0, in_chans, H, W, dtype=torch.uint8, device="cpu")
    scaling = Scaling(preprocess.window)
    return torch.cat([input_of(image, preprocess, in_chans, first + i, scaling) for i, image in enumerate(images)])


def prepare_upright(image: Image.Image, preprocess: Preprocessing) -> Tensor:
    """Resize an image as `open_image` gives it, upright and RGB, to (1, 3, H, W) uint8: it is not decoded again.

    Example:
        >>> prepare_upright(Image.new("RGB", (60, 40)), Preprocessing(size=(32, 32))).shape
        torch.Size([1, 3, 32, 32])
    """
    return _as_batch([resized(image, preprocess, 3)])


def normalise(images: Tensor, preprocess: Preprocessing) -> Tensor:
    """Scale images to the model's input.

    Args:
        images: (B, C, H, W) on any device: uint8, or floats in the units of mean and standard deviation.
        preprocess: mean and standard deviation, repeated in turn for more channels, averaged for one.

    Returns:
        (B, C, H, W) float32 on the same device.

    Example:
        >>> normalise(torch.full((1, 3, 2, 2), 255, dtype=torch.uint8), Preprocessing((2, 2))).max() > 2
        tensor(True)
    """
    mean, std = _statistics(preprocess, images.shape[1], images.device)
    full = 255 if images.dtype == torch.uint8 else 1
    return images.to(torch.float32, copy=True).mul_(1 / (full * std)).sub_(mean / std)


def denormalise(images: Tensor, preprocess: Preprocessing) -> Tensor:
    """Turn model input back to pixels in [0, 1], clipped where the input is: (B, C, H, W) float32.

    Sounds become log-mel energies again.

    Example:
        >>> pixels = torch.randint(0, 256, (1, 3, 4, 4), dtype=torch.uint8)
        >>> preprocess = Preprocessing((4, 4))
        >>> torch.allclose(denormalise(normalise(pixels, preprocess), preprocess), pixels / 255, atol=1e-6)
        True
    """
    mean, std = _statistics(preprocess, images.shape[1], images.device)
    pixels = images.float() * std + mean
    return pixels.clamp(0, 1) if preprocess.clip and preprocess.kind != "sound" else pixels


def check_pixels(images: Tensor, name: str) -> Tensor:
    """Return a tensor of images that is uint8, or float and finite.

    Raises:
        ImageError: it is neither.
    """
    if images.dtype == torch.uint8:
        return images
    if not images.is_floating_point():
        raise ImageError(f"{name} is uint8 (0 to 255) or float (already normalised); got {images.dtype}.")
    if not bool(torch.isfinite(images).all()):
        raise ImageError(f"{name} holds NaN or infinity.")
    return images


def input_of(image: Any, preprocess: Preprocessing, in_chans: int, index: int, scaling: Scaling) -> Tensor:
    """Return one image of a list as (1, C, H, W), uint8 or normalised float; errors have its number."""
    try:
        return _convert(image, preprocess, in_chans, f"image {index}", scaling)
    except ImageError as error:
        error.index = index
        raise


def _convert(image: Any, preprocess: Preprocessing, in_chans: int, name: str, scaling: Scaling) -> Tensor:
    """Convert as `input_of` says."""
    if isinstance(image, Tensor):
        if image.ndim != 3:
            raise ImageError(f"{name}: a tensor in a list is one image (C, H, W); got {tuple(image.shape)}.")
        if image.is_floating_point() or takes_pictures(preprocess, in_chans):
            check_pixels(image, f"{name}, a tensor,")
        if image.is_floating_point():
            return image[None]
        image = image.permute(1, 2, 0).cpu().numpy()
    batch = _as_batch([prepare_array(image, preprocess, in_chans, name, scaling)])
    return batch if batch.dtype == torch.uint8 else normalise(batch, preprocess)


def _as_batch(arrays: list[NDArray[Any]]) -> Tensor:
    """Join arrays (H, W, C) to a batch (B, C, H, W)."""
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)  # (B, C, H, W)


def _statistics(preprocess: Preprocessing, channels: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation for a number of channels, each (C, 1, 1)."""
    mean, std = channel_statistics(preprocess, channels)
    rows = (torch.tensor(row, dtype=torch.float32, device=device).view(-1, 1, 1) for row in (mean, std))
    return next(rows), next(rows)
