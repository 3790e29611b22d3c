"""Masks by the name of the strategy that draws them."""

import torch
from torch import Tensor

from maezoo.errors import MaskError
from maezoo.masks.cells import CELL, cell_mask
from maezoo.masks.draw import block_mask, grid_mask, random_mask
from maezoo.vocabulary import STRATEGIES

__all__ = ["draw_mask"]


def draw_mask(
    strategy: str,
    batch: int,
    grid_size: tuple[int, int],
    ratio: float,
    *,
    cell: int = CELL,
    seed: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw a mask by the name of its strategy: `"random"`, `"block"`, `"grid"` (which needs no seed) or `"cells"`.

    Drawn in parts, one after the other from one generator, the masks are those of one draw. `cell` is the side of
    the cells in patches.

    Raises:
        MaskError: an unknown strategy, a ratio outside [0, 1], or an impossible cell.

    Example:
        >>> draw_mask("block", 1, (4, 4), 0.5, seed=0).sum()
        tensor(8)
    """
    if strategy == "grid":
        return grid_mask(batch, grid_size, ratio)
    if strategy == "cells":
        return cell_mask(batch, grid_size, ratio, cell=cell, seed=seed, generator=generator)
    if strategy not in STRATEGIES:
        message = f"unknown mask strategy {strategy!r}; choose one of {', '.join(STRATEGIES)}."
        raise MaskError(message, expected=STRATEGIES, found=strategy)
    draw = random_mask if strategy == "random" else block_mask
    return draw(batch, grid_size, ratio, seed=seed, generator=generator)
