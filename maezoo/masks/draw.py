"""Masks: bool tensors (B, N), True = hidden, drawn on the CPU so that one seed is one mask on every device."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from maezoo.errors import MaskError, SizeError
from maezoo.masks.seeds import generator_for, hidden_count
from maezoo.vocabulary import STRATEGIES

__all__ = ["block_mask", "draw_mask", "grid_mask", "mask_from_noise", "mask_from_pixels", "random_mask"]


def random_mask(
    batch: int,
    grid_size: tuple[int, int],
    ratio: float = 0.75,
    *,
    seed: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Hide patches drawn without replacement, each image its own (paper, §3 "Masking").

    Args:
        batch: number of masks B.
        grid_size: (h, w) in patches.
        ratio: share of patches to hide, in [0, 1].
        seed: makes the draw repeatable; the same masks on every device.
        generator: a CPU generator instead of a seed, for a stream of different masks.

    Returns:
        (B, N) bool on the CPU, True = hidden, exactly `round(ratio * N)` in each row.

    Raises:
        MaskError: a ratio outside [0, 1], both seed and generator, or a generator that is not on the CPU.

    Example:
        >>> random_mask(2, (14, 14), seed=0).sum(dim=1)
        tensor([147, 147])
    """
    h, w = grid_size
    source = generator_for(seed, generator)
    noise = torch.rand(batch, h * w, generator=source, dtype=torch.float32, device="cpu")
    return mask_from_noise(noise, ratio)


def mask_from_noise(noise: Tensor, ratio: float = 0.75) -> Tensor:
    """Hide the patches with the largest noise, as the original and transformers do with a `noise` argument.

    Args:
        noise: (B, N), any real dtype.
        ratio: share of patches to hide, in [0, 1].

    Returns:
        (B, N) bool on the CPU, True = hidden; of equal noise the later patch is hidden first.

    Raises:
        MaskError: noise of another shape or with NaN, or a ratio outside [0, 1].

    Example:
        >>> mask_from_noise(torch.tensor([[0.3, 0.1, 0.9, 0.2]]), 0.5)
        tensor([[ True, False,  True, False]])
    """
    if noise.ndim != 2:
        raise MaskError(
            f"noise has the shape (batch, patches), two axes; got {tuple(noise.shape)}.", found=tuple(noise.shape)
        )
    noise = noise.detach().cpu()
    if noise.is_floating_point() and bool(noise.isnan().any()):
        raise MaskError("noise holds NaN, which has no order; draw it with torch.rand.")
    hidden = hidden_count(noise.shape[1], ratio)
    order = noise.argsort(dim=1, stable=True)
    mask = torch.zeros(noise.shape, dtype=torch.bool, device="cpu")
    return mask.scatter(1, order[:, noise.shape[1] - hidden :], True)


def block_mask(
    batch: int,
    grid_size: tuple[int, int],
    ratio: float = 0.75,
    *,
    seed: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Hide rectangles until the count is reached (the block-wise strategy of paper table 1f, after BEiT).

    Rectangles cover at least 16 patches where the grid has them, at aspect ratios between 0.3 and 3.3; the last one is
    cut short, so that the count is exact.

    Args, Returns and Raises are those of `random_mask`.

    Example:
        >>> block_mask(1, (14, 14), 0.5, seed=0).sum()
        tensor(98)
    """
    h, w = grid_size
    source = generator_for(seed, generator)
    wanted = hidden_count(h * w, ratio)
    return (
        torch.stack([_hide_blocks(h, w, wanted, source) for _ in range(batch)])
        if batch
        else torch.zeros(0, h * w, dtype=torch.bool, device="cpu")
    )


def _hide_blocks(h: int, w: int, wanted: int, generator: torch.Generator) -> Tensor:
    """Cover a grid with random rectangles until `wanted` patches are hidden: (N,) bool."""
    mask = torch.zeros(h, w, dtype=torch.bool, device="cpu")
    while (missing := wanted - int(mask.sum())) > 0:
        area, aspect, top, left = torch.rand(4, generator=generator, dtype=torch.float32, device="cpu").tolist()
        patches = 16 + area * max(0, missing - 16)
        ratio = math.exp(math.log(0.3) + aspect * (math.log(1 / 0.3) - math.log(0.3)))
        height = min(h, max(1, round(math.sqrt(patches * ratio))))
        width = min(w, max(1, round(math.sqrt(patches / ratio))))
        y, x = int(top * (h - height + 1)), int(left * (w - width + 1))
        block = torch.zeros_like(mask)
        block[y : y + height, x : x + width] = True
        fresh = (block & ~mask).flatten().nonzero().flatten()[:missing]
        mask.view(-1)[fresh] = True
    return mask.flatten()


def grid_mask(batch: int, grid_size: tuple[int, int], ratio: float = 0.75) -> Tensor:
    """Hide patches as evenly as a grid allows: at 75 %, one visible patch in each 2x2 cell (paper, table 1f).

    At other ratios the visible patches are the first of a fixed ordered dither, so any count is exact and even.

    Args:
        batch: number of masks B, all alike.
        grid_size: (h, w) in patches.
        ratio: share of patches to hide, in [0, 1].

    Returns:
        (B, N) bool on the CPU, True = hidden, exactly `round(ratio * N)` in each row.

    Raises:
        MaskError: a ratio outside [0, 1].

    Example:
        >>> grid_mask(1, (2, 4), 0.75).reshape(2, 4)
        tensor([[False,  True, False,  True],
                [ True,  True,  True,  True]])
    """
    h, w = grid_size
    rows = torch.arange(h, dtype=torch.int64, device="cpu")[:, None].expand(h, w)
    columns = torch.arange(w, dtype=torch.int64, device="cpu")[None].expand(h, w)
    rank = torch.zeros(h, w, dtype=torch.int64, device="cpu")
    for bit in range(max(h, w).bit_length()):  # bit-reversed interleaving: the classic Bayer order
        y, x = (rows >> bit) & 1, (columns >> bit) & 1
        rank = rank * 4 + (2 * (x ^ y) + y)
    return mask_from_noise(rank.reshape(1, -1), ratio).expand(batch, -1).clone()


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
        >>> pixels = torch.zeros(32, 32, dtype=torch.bool)
        >>> pixels[3, 20] = True
        >>> mask_from_pixels(pixels, 16)
        tensor([[False,  True, False, False]])
    """
    if pixels.ndim not in (2, 3):
        raise MaskError(f"a pixel mask has the shape (H, W) or (B, H, W); got {tuple(pixels.shape)}.")
    if not 0 <= threshold < 1:
        raise MaskError(f"threshold is a share of a patch's pixels, at least 0 and below 1; got {threshold}.")
    H, W = pixels.shape[-2:]
    if H % patch_size or W % patch_size or not H or not W:
        raise SizeError(f"a {H}x{W} pixel mask is not a whole number of {patch_size}-pixel patches; resize it first.")
    hidden = (pixels.detach().cpu() != 0).float().reshape(-1, 1, H, W)
    share = F.avg_pool2d(hidden, patch_size)  # (B, 1, h, w)
    return share.flatten(1) > threshold


def draw_mask(
    strategy: str,
    batch: int,
    grid_size: tuple[int, int],
    ratio: float,
    *,
    seed: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw a mask by the name of its strategy: `"random"`, `"block"` or `"grid"` (which needs no seed).

    Drawn in parts, one after the other from one generator, the masks are those of one draw.

    Raises:
        MaskError: an unknown strategy or a ratio outside [0, 1].

    Example:
        >>> draw_mask("block", 1, (4, 4), 0.5, seed=0).sum()
        tensor(8)
    """
    if strategy == "grid":
        return grid_mask(batch, grid_size, ratio)
    if strategy not in STRATEGIES:
        message = f"unknown mask strategy {strategy!r}; choose one of {', '.join(STRATEGIES)}."
        raise MaskError(message, expected=STRATEGIES, found=strategy)
    draw = random_mask if strategy == "random" else block_mask
    return draw(batch, grid_size, ratio, seed=seed, generator=generator)
