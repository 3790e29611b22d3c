"""Decoded images resized as weights want them: arrays in, arrays out. No torch here: exported models run without it."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maezoo.errors import ImageError
from maezoo.images.decoding import ImageLike, open_image
from maezoo.images.pixels import to_uint8
from maezoo.images.preprocessing import Preprocessing
from maezoo.images.window import Scaling

__all__ = ["channel_statistics", "least_side", "normalise_arrays", "prepare_array", "resized"]


_RESAMPLE = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def prepare_array(
    image: ImageLike, preprocess: Preprocessing, in_chans: int, name: str, scaling: Scaling
) -> NDArray[np.uint8]:
    """Decode and resize one image.

    Args:
        image: an image-like.
        preprocess: the size and the resize rule.
        in_chans: channels wanted: 3 for RGB, 1 for grey; otherwise an array (H, W, in_chans) is needed.
        name: what errors call it.
        scaling: how more than 8 bits become 8.

    Returns:
        (H, W, in_chans) uint8.

    Raises:
        ImageError: it cannot be read.
    """
    if isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == in_chans and in_chans not in (1, 3):
        if 0 in image.shape:
            raise ImageError(f"{name}: an array of the shape {image.shape} holds no pixels.")
        values = to_uint8(image, name, scaling)
        planes = [Image.fromarray(np.ascontiguousarray(values[:, :, c])) for c in range(in_chans)]
        return np.stack([np.asarray(_resize(plane, preprocess)) for plane in planes], axis=2)
    if in_chans not in (1, 3):
        raise ImageError(f"{name}: this model takes {in_chans} channels; pass arrays (H, W, {in_chans}) or tensors.")
    return resized(open_image(image, name=name, least=least_side(preprocess), scaling=scaling), preprocess, in_chans)


def resized(upright: Image.Image, preprocess: Preprocessing, in_chans: int) -> NDArray[np.uint8]:
    """Resize an upright RGB picture to (H, W, 3), or (H, W, 1) grey."""
    picture = _resize(upright, preprocess)
    return np.asarray(picture.convert("L"))[:, :, None] if in_chans == 1 else np.asarray(picture)


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


def normalise_arrays(images: NDArray[np.uint8], preprocess: Preprocessing) -> NDArray[np.float32]:
    """Scale (B, C, H, W) uint8 images to the model's input, float32.

    Example:
        >>> normalise_arrays(np.zeros((1, 3, 2, 2), np.uint8), Preprocessing((2, 2))).dtype
        dtype('float32')
    """
    mean, std = (np.array(row, np.float32)[:, None, None] for row in channel_statistics(preprocess, images.shape[1]))
    normalised: NDArray[np.float32] = images * (1 / (255 * std)) - mean / std
    return normalised
