"""Masks of whole cells of patches."""

from typing import SupportsIndex

import torch
from torch import Tensor

from maezoo.arguments import whole_number
from maezoo.errors import MaskError
from maezoo.masks.draw import check_draw, generator_for, mask_from_noise

__all__ = ["CELL", "as_cell", "cell_mask"]

CELL = 4
"""Side of a cell in patches: Pixio's."""


def cell_mask(
    batch: int,
    grid_size: tuple[int, int],
    ratio: float = 0.75,
    *,
    cell: int = CELL,
    seed: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Hide whole square cells of patches, drawn without replacement.

    So Pixio does, with 4x4 patches at a time (https://arxiv.org/abs/2512.15715): a hidden patch then has few visible
    neighbours to be copied from. Where the count is no whole number of cells, the
    cell drawn last is hidden in part: so many of its patches, drawn at random, as the count asks for. Where a side of
    the grid is no multiple of the cell, the cells at its two ends are cut, and each image draws how much at which end;
    no row or column of cells is added.

    Args:
        batch: number of masks B.
        grid_size: (h, w) in patches.
        ratio: share of patches to hide, in [0, 1].
        cell: side of a cell in patches; with 1 the masks are as random as those of `random_mask`.
        seed: makes the draw repeatable; the same masks on every device.
        generator: a CPU generator instead of a seed, for a stream of different masks.

    Returns:
        (B, N) bool on the CPU, True = hidden, exactly `round(ratio * N)` in each row.

    Raises:
        MaskError: a ratio outside [0, 1], a cell that is no whole number above 0, both seed and generator, or a
            generator that is not on the CPU.

    Example:
        >>> cell_mask(1, (4, 4), 0.75, cell=2, seed=0).reshape(4, 4)
        tensor([[False, False,  True,  True],
                [False, False,  True,  True],
                [ True,  True,  True,  True],
                [ True,  True,  True,  True]])
    """
    batch, h, w = check_draw(batch, grid_size)
    side = as_cell(cell)
    rows, columns = -(-h // side), -(-w // side)  # of cells
    source = generator_for(seed, generator)
    # one row of draws for each image, so that masks drawn in parts are those of one draw
    draws = torch.rand(batch, 2 + rows * columns + h * w, generator=source, dtype=torch.float32, device="cpu")
    shifts, cells, patches = torch.split(draws, [2, rows * columns, h * w], dim=1)
    row = _cell_numbers(h, side, shifts[:, 0])  # (B, h)
    column = _cell_numbers(w, side, shifts[:, 1])  # (B, w)
    rank = cells.argsort(dim=1, stable=True).argsort(dim=1)  # (B, cells), a permutation
    place = (row[:, :, None] * columns + column[:, None]).flatten(1)  # (B, N)
    return mask_from_noise(rank.gather(1, place).double() + patches.double(), ratio)  # double: 0.99… stays below 1


def _cell_numbers(patches: int, side: int, shift: Tensor) -> Tensor:
    """Return which cell each patch of a side of the grid belongs to: (B,) draws in [0, 1) -> (B, patches) int64."""
    spare = -patches % side  # by so many patches all cells together are longer than the grid
    start = (shift * (spare + 1)).long()
    return (start[:, None] + torch.arange(patches, dtype=torch.int64, device="cpu")) // side


def as_cell(cell: SupportsIndex) -> int:
    """Return the side of a cell as a Python int.

    Raises:
        MaskError: it is no whole number above 0.

    Example:
        >>> as_cell(4)
        4
    """
    return whole_number(cell, "cell", what=f"a side in patches such as {CELL}, a whole number", error=MaskError)
