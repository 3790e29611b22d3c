"""Decoded pixels resized and normalised as weights want them. No torch here: exported models run without it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maezoo.images.preprocessing import Preprocessing

__all__ = ["channel_statistics", "least_side", "normalise_arrays", "resized", "resized_plane"]


_RESAMPLE = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def resized(upright: Image.Image, preprocess: Preprocessing, in_chans: int) -> NDArray[np.uint8]:
    """Resize an upright RGB picture to (H, W, 3), or (H, W, 1) grey."""
    picture = _resize(upright, preprocess)
    return np.asarray(picture.convert("L"))[:, :, None] if in_chans == 1 else np.asarray(picture)


def resized_plane(plane: NDArray[Any], preprocess: Preprocessing) -> NDArray[Any]:
    """Resize one channel (H, W), uint8 or float32, to the model's input as it is."""
    return np.asarray(_resize(Image.fromarray(np.ascontiguousarray(plane)), preprocess))


def least_side(preprocess: Preprocessing) -> int:
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


def channel_statistics(preprocess: Preprocessing, channels: int) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each channel: repeated in turn for more channels, averaged for one.

    Example:
        >>> channel_statistics(Preprocessing((2, 2), mean=(0.5, 0.25), std=(1.0, 2.0)), 3)
        ([0.5, 0.25, 0.5], [1.0, 2.0, 1.0])
    """

    def spread(values: tuple[float, ...]) -> list[float]:
        if channels == 1:
            values = (sum(values) / len(values),)
        return [values[channel % len(values)] for channel in range(channels)]

    return spread(preprocess.mean), spread(preprocess.std)


def normalise_arrays(images: NDArray[Any], preprocess: Preprocessing) -> NDArray[np.float32]:
    """Scale (B, C, H, W) images, uint8 or in the units of mean and standard deviation, to the model's input, float32.

    Example:
        >>> normalise_arrays(np.zeros((1, 3, 2, 2), np.uint8), Preprocessing((2, 2))).dtype
        dtype('float32')
    """
    mean, std = (np.array(row, np.float32)[:, None, None] for row in channel_statistics(preprocess, images.shape[1]))
    full = 255 if images.dtype == np.uint8 else 1
    normalised: NDArray[np.float32] = images * (1 / (full * std)) - mean / std
    return normalised
