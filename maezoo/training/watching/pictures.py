"""Pictures of what a model reconstructs, of the same images with the same masks each time."""

from pathlib import Path

import torch
from torch import Tensor

from maezoo.api.mae import MAE
from maezoo.masks.draw import random_mask

__all__ = ["COUNT", "write_picture"]

COUNT = 8  # images in a picture
_LEAST = 160  # pixels that a panel is wide, with whole pixels of the image


def write_picture(model: MAE, images: Tensor, mask_ratio: float, path: Path) -> None:
    """Write original | masked | reconstruction of images; the file appears complete or not at all.

    Args:
        model: with a decoder.
        images: (B, C, H, W), normalised.
        mask_ratio: share of patches hidden; which ones, is the same each time.
        path: a `.png`.

    Raises:
        DiskFullError: no room for it.
    """
    P = model.patch_size
    grid = images.shape[-2] // P, images.shape[-1] // P
    mask = random_mask(len(images), grid, mask_ratio, generator=torch.Generator(device="cpu").manual_seed(0))
    result = model.reconstruct(images.to(model.device), mask=mask)
    result.save(path, scale=-(-_LEAST // images.shape[-1]), labels=True)
