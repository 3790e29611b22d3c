"""Masks of patches from masks of pixels."""

from torch import Tensor
from torch.nn import functional as F

from maezoo.arguments import is_number, whole_number
from maezoo.errors import MaskError, SizeError

__all__ = ["mask_from_pixels"]


def mask_from_pixels(pixels: Tensor, patch_size: int, *, threshold: float = 0.0) -> Tensor:
    """Hide the patches that a pixel-level mask touches.

    Args:
        pixels: (H, W) or (B, H, W), bool or numbers; True or non-zero = hidden.
        patch_size: patch side P.
        threshold: a patch is hidden when more than this share of its pixels is, in [0, 1).

    Returns:
        (B, N) bool on the CPU, True = hidden; rows may hide different numbers.

    Raises:
        MaskError: a wrong number of axes or a threshold outside [0, 1).
        SizeError: H or W is not a multiple of P.

    Example:
        >>> import torch
        >>> pixels = torch.zeros(32, 32, dtype=torch.bool)
        >>> pixels[3, 20] = True
        >>> mask_from_pixels(pixels, 16)
        tensor([[False,  True, False, False]])
    """
    if not isinstance(pixels, Tensor) or pixels.ndim not in (2, 3):
        found = tuple(pixels.shape) if isinstance(pixels, Tensor) else pixels
        raise MaskError(f"a pixel mask is a tensor of shape (H, W) or (B, H, W); got {found!r}.", found=found)
    if not is_number(threshold, 0, 1) or threshold == 1:
        raise MaskError(
            f"threshold is a share of a patch's pixels, at least 0 and below 1; got {threshold!r}.", found=threshold
        )
    patch_size = whole_number(patch_size, "patch_size", error=SizeError)
    H, W = pixels.shape[-2:]
    if H % patch_size or W % patch_size or not H or not W:
        raise SizeError(f"a {H}x{W} pixel mask is not a whole number of {patch_size}-pixel patches; resize it first.")
    hidden = (pixels.detach().cpu() != 0).float().reshape(-1, 1, H, W)
    share = F.avg_pool2d(hidden, patch_size)  # (B, 1, h, w)
    return share.flatten(1) > threshold
