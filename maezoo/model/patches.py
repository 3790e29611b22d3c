"""Images to patches and back, and the normalisation of patches."""

from typing import NamedTuple

import torch
from torch import Tensor

from maezoo.arguments import whole_number
from maezoo.errors import SizeError

__all__ = [
    "PatchStatistics",
    "PatchedImages",
    "denormalise_patches",
    "grid_of",
    "normalise_patches",
    "patch_statistics",
    "patchify",
    "unpatchify",
]

EPSILON = 1e-6  # added to the variance of a patch (paper, §4.1; the constant is the original code's)


def grid_of(size: tuple[int, int], patch_size: int) -> tuple[int, int]:
    """Return the patch grid of an image size.

    Args:
        size: (H, W) in pixels.
        patch_size: patch side P.

    Returns:
        (h, w) = (H / P, W / P).

    Raises:
        SizeError: H or W is not a positive multiple of P; the message names the nearest size that is.

    Example:
        >>> grid_of((448, 224), 16)
        (28, 14)
    """
    patch_size = whole_number(patch_size, "patch_size", error=SizeError)
    height, width = size
    if height < 1 or width < 1 or height % patch_size or width % patch_size:
        nearest = tuple(max(1, round(side / patch_size)) * patch_size for side in size)
        raise SizeError(
            f"{height}x{width} (height x width) is not a whole number of {patch_size}-pixel patches. "
            f"The nearest valid size is {nearest[0]}x{nearest[1]}: resize the images, or pass img_size={nearest}.",
            found=tuple(size),
            suggestions=[f"{nearest[0]}x{nearest[1]}"],
        )
    return height // patch_size, width // patch_size


def patchify(images: Tensor, patch_size: int) -> Tensor:
    """Cut images into patches: raster order, channels last inside a patch (paper, §3).

    Args:
        images: (B, C, H, W), H and W multiples of P.
        patch_size: patch side P.

    Returns:
        (B, N, P*P*C), the same dtype.

    Raises:
        SizeError: H or W is not a multiple of P.

    Example:
        >>> patchify(torch.zeros(2, 3, 32, 48), 16).shape
        torch.Size([2, 6, 768])
    """
    return _cut(images, patch_size, grid_of((images.shape[2], images.shape[3]), patch_size))


def _cut(images: Tensor, patch_size: int, grid_size: tuple[int, int]) -> Tensor:
    """Cut images as `patchify` says, where their grid is known."""
    B, C, _, _ = images.shape
    h, w = grid_size
    x = images.reshape(B, C, h, patch_size, w, patch_size)
    x = x.permute(0, 2, 4, 3, 5, 1)  # (B, h, w, P, P, C)
    return x.reshape(B, h * w, patch_size * patch_size * C)  # (B, N, P*P*C)


def unpatchify(patches: Tensor, patch_size: int, grid_size: tuple[int, int]) -> Tensor:
    """Put patches back together; the exact inverse of `patchify`.

    Args:
        patches: (B, N, P*P*C) with N = h*w.
        patch_size: patch side P.
        grid_size: (h, w).

    Returns:
        (B, C, H, W), the same dtype.

    Example:
        >>> images = torch.rand(2, 3, 32, 48)
        >>> torch.equal(unpatchify(patchify(images, 16), 16, (2, 3)), images)
        True
    """
    h, w = grid_size
    B, _, length = patches.shape
    C = length // patch_size**2
    x = patches.reshape(B, h, w, patch_size, patch_size, C)
    x = x.permute(0, 5, 1, 3, 2, 4)  # (B, C, h, P, w, P)
    return x.reshape(B, C, h * patch_size, w * patch_size)  # (B, C, H, W)


class PatchedImages:
    """A batch of images on its patch grid. Its patches are cut once, when they are first asked for.

    Args:
        images: (B, C, H, W).
        patch_size: patch side P.
        patches: (B, N, P*P*C), where they are cut already.

    Attributes:
        images: as given.
        grid_size: (h, w) in patches.

    Raises:
        SizeError: H or W is not a multiple of P.

    Example:
        >>> batch = PatchedImages(torch.zeros(2, 3, 32, 48), 16)
        >>> batch.grid_size, batch.patches.shape
        ((2, 3), torch.Size([2, 6, 768]))
    """

    def __init__(self, images: Tensor, patch_size: int, patches: Tensor | None = None) -> None:
        self.images = images
        self.grid_size = grid_of((images.shape[2], images.shape[3]), patch_size)
        self._patch_size = patch_size
        self._patches = patches

    @property
    def patches(self) -> Tensor:
        """The patches as `patchify` cuts them, (B, N, P*P*C)."""
        if self._patches is None:
            self._patches = _cut(self.images, self._patch_size, self.grid_size)
        return self._patches

    def take(self, rows: Tensor) -> "PatchedImages":
        """Return some of the images, by their numbers (b,)."""
        return PatchedImages(self.images[rows], self._patch_size, self.patches[rows])


class PatchStatistics(NamedTuple):
    """Mean and standard deviation of each patch, both (B, N, 1)."""

    mean: Tensor
    std: Tensor


def patch_statistics(patches: Tensor) -> PatchStatistics:
    """Measure the mean and the (unbiased) standard deviation of each patch.

    Args:
        patches: (B, N, P*P*C).

    Example:
        >>> patch_statistics(torch.ones(1, 4, 12)).mean.shape
        torch.Size([1, 4, 1])
    """
    variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    return PatchStatistics(mean, (variance + EPSILON).sqrt())


def normalise_patches(patches: Tensor, statistics: PatchStatistics) -> Tensor:
    """Make each patch zero-mean and unit-variance: the normalised-pixel target (paper, §4.1 and table 1d).

    Example:
        >>> patches = torch.rand(1, 4, 12)
        >>> normalise_patches(patches, patch_statistics(patches)).mean().abs() < 1e-5
        tensor(True)
    """
    return (patches - statistics.mean) / statistics.std


def denormalise_patches(patches: Tensor, statistics: PatchStatistics) -> Tensor:
    """Undo `normalise_patches`.

    Example:
        >>> patches = torch.rand(1, 4, 12)
        >>> statistics = patch_statistics(patches)
        >>> torch.allclose(denormalise_patches(normalise_patches(patches, statistics), statistics), patches)
        True
    """
    return patches * statistics.std + statistics.mean
