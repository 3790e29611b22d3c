"""One part of an image, resized: of a JPEG no more is decoded than its size needs."""

import math
from collections.abc import Callable

from PIL import Image

from maezoo.images.decoding import ImageLike, open_image
from maezoo.images.window import Scaling

__all__ = ["Box", "open_crop"]

Box = tuple[float, float, float, float]
"""Left, top, right and bottom of a part of an image, in pixels."""


def open_crop(
    image: ImageLike,
    size: int | tuple[int, int],
    box_of: Callable[[int, int], Box],
    *,
    name: str = "image",
    scaling: Scaling | None = None,
) -> Image.Image:
    """Decode an image as `open_image` does, cut a part out, and resize it (bicubic, antialiased).

    A JPEG is decoded at a half, quarter or eighth where the part still has as many pixels as the result then.

    Args:
        image: an image-like.
        size: side of the square result in pixels, or its height and width.
        box_of: gives the part of an upright image of a width and a height.
        name: what errors call the image.
        scaling: how more than 8 bits become 8.

    Raises:
        ImageError: it cannot be read.

    Example:
        >>> picture = Image.new("RGB", (60, 40))
        >>> open_crop(picture, (16, 16), lambda width, height: (0, 0, width / 2, height)).size
        (16, 16)
    """
    H, W = (size, size) if isinstance(size, int) else size

    def needed(width: int, height: int) -> tuple[int, int]:
        left, top, right, bottom = box_of(width, height)
        return math.ceil(W * width / (right - left)), math.ceil(H * height / (bottom - top))

    picture = open_image(image, name=name, least=needed, scaling=scaling)
    return picture.resize((W, H), Image.Resampling.BICUBIC, box=box_of(*picture.size))
