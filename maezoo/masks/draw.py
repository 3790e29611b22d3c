"""Masks: bool tensors (B, N), True = hidden, drawn on the CPU so that one seed is one mask on every device."""

import math
from numbers import Real
from typing import SupportsIndex

import numpy as np
import torch
from torch import Tensor

from maezoo.arguments import as_whole, whole_number
from maezoo.errors import MaskError

__all__ = [
    "as_ratio",
    "as_seed",
    "block_mask",
    "check_draw",
    "generator_for",
    "grid_mask",
    "hidden_count",
    "mask_from_noise",
    "random_mask",
]

_MOST_PATCHES = 2**31  # of all masks of one draw; 8 GiB of noise


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
    batch, h, w = check_draw(batch, grid_size)
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
    if not isinstance(noise, Tensor) or noise.ndim != 2:
        found = tuple(noise.shape) if isinstance(noise, Tensor) else noise
        raise MaskError(f"noise is a tensor of shape (batch, patches), two axes; got {found!r}.", found=found)
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
    batch, h, w = check_draw(batch, grid_size)
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
    batch, h, w = check_draw(batch, grid_size)
    rows = torch.arange(h, dtype=torch.int64, device="cpu")[:, None].expand(h, w)
    columns = torch.arange(w, dtype=torch.int64, device="cpu")[None].expand(h, w)
    rank = torch.zeros(h, w, dtype=torch.int64, device="cpu")
    for bit in range(max(h, w).bit_length()):  # bit-reversed interleaving: the classic Bayer order
        y, x = (rows >> bit) & 1, (columns >> bit) & 1
        rank = rank * 4 + (2 * (x ^ y) + y)
    return mask_from_noise(rank.reshape(1, -1), ratio).expand(batch, -1).clone()


def check_draw(batch: int, grid_size: tuple[int, int]) -> tuple[int, int, int]:
    """Return how many masks are to be drawn, and the sides of their grid: B, h, w.

    Raises:
        MaskError: no whole numbers, a side below 1, or more patches than any memory holds.

    Example:
        >>> check_draw(2, (14, 14))
        (2, 14, 14)
    """
    if not isinstance(grid_size, (tuple, list)) or len(grid_size) != 2:
        raise MaskError(f"grid_size is (h, w) in patches, such as (14, 14); got {grid_size!r}.", found=grid_size)
    h, w = (whole_number(side, "a side of grid_size", 1, error=MaskError) for side in grid_size)
    count = whole_number(batch, "batch", 0, what="the number of masks", error=MaskError)
    if count * h * w > _MOST_PATCHES:
        raise MaskError(
            f"{count:,} masks of {h}x{w} patches are too many at once; draw them in parts, at most {_MOST_PATCHES:,} "
            "patches each.",
            expected=_MOST_PATCHES,
            found=count * h * w,
        )
    return count, h, w


def hidden_count(patches: int, ratio: float) -> int:
    """Return how many of N patches a ratio hides: exactly `round(ratio * N)`.

    Raises:
        MaskError: the ratio lies outside [0, 1].

    Example:
        >>> hidden_count(196, 0.75)
        147
    """
    return round(as_ratio(ratio, "mask_ratio is the hidden share and lies between 0 and 1, for example 0.75") * patches)


def as_ratio(ratio: float, rule: str, low: float = 0.0, high: float = 1.0) -> float:
    """Return a share as a Python float; NumPy's short floats count as the decimal number that they show.

    Raises:
        MaskError: no number, or one outside [low, high]; `rule` says what is allowed.

    Example:
        >>> as_ratio(np.float32(0.7), "a ratio lies between 0 and 1")
        0.7
    """
    if isinstance(ratio, bool) or not isinstance(ratio, Real) or not low <= ratio <= high:
        raise MaskError(f"{rule}; got {ratio!r}.", expected=(low, high), found=ratio)
    return float(str(ratio)) if isinstance(ratio, np.floating) else float(ratio)


def as_seed(seed: SupportsIndex) -> int:
    """Return a seed as a Python int.

    Raises:
        MaskError: it is no whole number, or none that 64 bits hold.
    """
    number = as_whole(seed)
    if number is None:
        raise MaskError(f"seed is a whole number, for example 0; got {seed!r}.", found=seed)
    if not -(2**63) <= number < 2**64:
        raise MaskError(f"seed must fit in 64 bits; got {number}.", found=number)
    return number


def generator_for(seed: int | None, generator: torch.Generator | None = None) -> torch.Generator:
    """Return the CPU generator that a seed or a generator stands for; a fresh random one when both are absent.

    Raises:
        MaskError: both are given, the generator is not on the CPU, or the seed is no whole number.
    """
    if generator is not None:
        if seed is not None:
            raise MaskError("pass seed or generator, not both.")
        if not isinstance(generator, torch.Generator) or generator.device.type != "cpu":
            raise MaskError("masks are drawn on the CPU: pass torch.Generator() without a device.", found=generator)
        return generator
    if seed is None:
        seed = int(torch.randint(2**62, (), dtype=torch.int64, device="cpu").item())
    return torch.Generator(device="cpu").manual_seed(as_seed(seed))
