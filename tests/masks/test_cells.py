"""Masks of whole cells."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from maezoo import cell_mask
from maezoo.errors import MaskError


@settings(max_examples=100, deadline=None)
@given(
    grid=st.tuples(st.integers(1, 17), st.integers(1, 17)),
    ratio=st.floats(0, 1),
    cell=st.integers(1, 20),
    seed=st.integers(0, 2**40),
)
def test_the_count_is_exact_whatever_the_cell(grid: tuple[int, int], ratio: float, cell: int, seed: int) -> None:
    mask = cell_mask(3, grid, ratio, cell=cell, seed=seed)
    assert mask.dtype == torch.bool
    assert mask.sum(dim=1).tolist() == [round(ratio * grid[0] * grid[1])] * 3


def shares(mask: Tensor, side: int) -> Tensor:
    """The hidden share of each cell of a square mask whose side is a multiple of the cell's: (B, cells)."""
    B, N = mask.shape
    n = round(N**0.5)
    cells = mask.reshape(B, n // side, side, n // side, side).transpose(2, 3)
    return cells.flatten(3).float().mean(dim=3).flatten(1)


@pytest.mark.parametrize("side", [2, 4, 8])
def test_cells_are_hidden_whole_where_count_and_grid_are_multiples(side: int) -> None:
    found = shares(cell_mask(20, (16, 16), 0.75, cell=side, seed=0), side)
    assert set(found.flatten().tolist()) == {0.0, 1.0}
    assert len(found.unique(dim=0)) > 1


def test_of_another_count_one_cell_is_hidden_in_part() -> None:
    found = shares(cell_mask(50, (12, 12), 0.7, cell=4, seed=0), 4)  # 101 patches: six cells and five patches
    assert found.sort(dim=1).values.eq(torch.tensor([0.0] * 2 + [5 / 16] + [1.0] * 6)).all()


def test_on_another_grid_the_cells_are_cut_at_both_ends() -> None:
    """Cells of four on a side of 14 are four cells, of which the first has four rows, three or two."""
    hidden = cell_mask(200, (14, 4), 16 / 56, cell=4, seed=0).reshape(200, 14, 4).all(dim=2)
    starts = {tuple(row.tolist()) for row in hidden[:, :4]}
    assert {(True, True, True, True), (True, True, True, False), (True, True, False, False)} <= starts
    assert (True, False, False, False) not in starts


def test_one_seed_is_one_mask_and_one_stream() -> None:
    whole = cell_mask(5, (14, 11), seed=3)
    assert torch.equal(whole, cell_mask(5, (14, 11), seed=3))
    assert not torch.equal(whole, cell_mask(5, (14, 11), seed=4))
    generator = torch.Generator().manual_seed(3)
    parts = [cell_mask(count, (14, 11), generator=generator) for count in (2, 3)]
    assert torch.equal(whole, torch.cat(parts))


def test_this_seed_is_this_mask() -> None:
    visible = ~cell_mask(1, (6, 6), cell=2, seed=0)
    assert visible.nonzero()[:, 1].tolist() == [0, 1, 2, 3, 6, 7, 8, 9, 11]


def test_each_patch_is_hidden_as_often_as_any_other() -> None:
    often = cell_mask(4000, (10, 10), 0.5, seed=0).float().mean(dim=0)
    assert (often - 0.5).abs().max() < 0.05


@pytest.mark.parametrize("cell", [0, -1, 2.5, "4", True])
def test_impossible_cells(cell: object) -> None:
    with pytest.raises(MaskError, match="a whole number, at least 1"):
        cell_mask(1, (4, 4), cell=cell, seed=0)  # type: ignore[arg-type]
