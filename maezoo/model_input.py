"""Image-likes as the tensors that a model takes, for those who look inside it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from maezoo.images import ImageLikes, batches, normalise

if TYPE_CHECKING:
    from maezoo.api import MAE

__all__ = ["input_batches", "model_input"]


def input_batches(model: "MAE", images: ImageLikes, batch_size: int = 32) -> Iterator[Tensor]:
    """Yield images as a model's normalised input, some at a time.

    Args:
        model: decides size, normalisation, device and number format.
        images: as in `MAE.encode`.
        batch_size: images at a time.

    Yields:
        (b, C, H, W) on the model's device.

    Raises:
        ImageError: an image cannot be read; the message says which and why.
    """
    for chunk in batches(images, model.preprocess, model.in_chans, batch_size):
        chunk = chunk.to(model.device, non_blocking=True)
        if chunk.dtype == torch.uint8:
            chunk = normalise(chunk, model.preprocess)
        yield chunk.to(model.dtype)


def model_input(model: "MAE", images: ImageLikes) -> Tensor:
    """Return all images as one batch of normalised input, (B, C, H, W) on the model's device.

    Raises:
        ImageError: an image cannot be read; the message says which and why.

    Example:
        >>> import maezoo
        >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        >>> model_input(model, torch.zeros(1, 3, 64, 96, dtype=torch.uint8)).shape
        torch.Size([1, 3, 96, 96])
    """
    return torch.cat(list(input_batches(model, images)))
