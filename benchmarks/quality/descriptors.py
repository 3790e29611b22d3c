"""Image descriptors that need no training: the baselines of features."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["descriptors"]


def descriptors(images: Sequence[Image.Image]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield each description by name, (n, D)."""
    yield "raw pixels 32x32", np.stack([_small(image, 32).ravel() for image in images]) / 255
    yield "colour histogram 8x8x8", np.stack([_histogram(_small(image, 96)) for image in images])
    yield "HOG 96x96, cells of 12", np.stack([_hog(_small(image, 96)) for image in images])


def _small(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """Squash an image to (side, side, 3)."""
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))


def _histogram(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Count colours in 8x8x8 bins; the square roots of the shares."""
    bins = (pixels // 32).reshape(-1, 3).astype(np.int64) @ np.array([64, 8, 1])
    shares: NDArray[np.float64] = np.sqrt(np.bincount(bins, minlength=512) / len(bins))
    return shares


def _hog(pixels: NDArray[np.uint8]) -> NDArray[Any]:
    """Describe (H, W, 3) pixels by histograms of oriented gradients."""
    from skimage.feature import hog

    return np.asarray(hog(pixels, pixels_per_cell=(12, 12), cells_per_block=(2, 2), channel_axis=-1))
