"""Masks: exact counts, seeds, strategies, pixels."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maezoo import block_mask, grid_mask, mask_from_noise, mask_from_pixels, random_mask
from maezoo.errors import MaskError, SizeError
from maezoo.masks.draw import hidden_count
from maezoo.masks.strategies import draw_mask
from maezoo.masks.visible import check_mask, visible_indices
from maezoo.vocabulary import STRATEGIES

grids = st.tuples(st.integers(1, 15), st.integers(1, 15))
ratios = st.floats(0, 1, allow_nan=False)


@settings(max_examples=100, deadline=None)
@given(grid=grids, ratio=ratios, strategy=st.sampled_from(STRATEGIES), seed=st.integers(0, 2**40))
def test_every_strategy_hides_exactly_the_rounded_share(
    grid: tuple[int, int], ratio: float, strategy: str, seed: int
) -> None:
    mask = draw_mask(strategy, 2, grid, ratio, seed=seed)
    N = grid[0] * grid[1]
    assert mask.shape == (2, N)
    assert mask.dtype == torch.bool
    assert mask.sum(dim=1).tolist() == [round(ratio * N)] * 2


def test_counts_that_floor_gets_wrong() -> None:
    assert hidden_count(100, 0.9) == 90
    assert hidden_count(1000, 0.9) == 900


def test_one_seed_is_one_mask() -> None:
    assert torch.equal(random_mask(3, (14, 14), seed=5), random_mask(3, (14, 14), seed=5))
    assert not torch.equal(random_mask(3, (14, 14), seed=5), random_mask(3, (14, 14), seed=6))
    assert not torch.equal(random_mask(3, (14, 14)), random_mask(3, (14, 14)))
    rows = random_mask(2, (14, 14), seed=5)
    assert not torch.equal(rows[0], rows[1])


def test_this_seed_is_this_mask() -> None:
    """The masks of a seed are part of the interface: figures in papers and tests depend on them."""
    mask = random_mask(1, (4, 4), seed=0)
    assert (~mask).nonzero()[:, 1].tolist() == [2, 3, 12, 13]
    assert torch.equal(mask, mask_from_noise(torch.rand(1, 16, generator=torch.Generator().manual_seed(0)), 0.75))


def test_a_generator_gives_a_stream() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = random_mask(1, (8, 8), generator=generator), random_mask(1, (8, 8), generator=generator)
    assert not torch.equal(first, second)
    with pytest.raises(MaskError, match="not both"):
        random_mask(1, (8, 8), seed=0, generator=generator)


def test_the_global_seed_is_left_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    random_mask(1, (8, 8), seed=0)
    assert torch.equal(torch.rand(2), expected)


def test_blocks_are_contiguous() -> None:
    mask = block_mask(1, (16, 16), 0.3, seed=1).reshape(16, 16)
    neighbours = (mask[1:] & mask[:-1]).sum() + (mask[:, 1:] & mask[:, :-1]).sum()
    scattered = random_mask(1, (16, 16), 0.3, seed=1).reshape(16, 16)
    loose = (scattered[1:] & scattered[:-1]).sum() + (scattered[:, 1:] & scattered[:, :-1]).sum()
    assert neighbours > 2 * loose


def test_grid_keeps_one_of_every_four() -> None:
    visible = ~grid_mask(1, (14, 14), 0.75).reshape(14, 14)
    assert visible[::2, ::2].all()
    assert visible.sum() == 49
    half = ~grid_mask(1, (6, 6), 0.5).reshape(6, 6)
    assert (half.sum(dim=0) == 3).all()
    assert (half.sum(dim=1) == 3).all()


def test_pixels_to_patches() -> None:
    pixels = torch.zeros(2, 32, 48, dtype=torch.bool)
    pixels[0, 5, 40] = True
    pixels[1, 16:, :16] = True
    mask = mask_from_pixels(pixels, 16)
    assert mask.tolist() == [[False, False, True, False, False, False], [False, False, False, True, False, False]]
    assert mask_from_pixels(pixels, 16, threshold=0.5)[0].sum() == 0
    assert mask_from_pixels(torch.ones(32, 32), 16).all()
    with pytest.raises(SizeError):
        mask_from_pixels(torch.zeros(30, 32), 16)
    with pytest.raises(MaskError, match="threshold"):
        mask_from_pixels(torch.zeros(32, 32), 16, threshold=1.0)


@pytest.mark.parametrize("ratio", [1.5, -0.1, float("nan"), "half", True])
def test_impossible_ratios(ratio: object) -> None:
    with pytest.raises(MaskError, match="between 0 and 1"):
        random_mask(1, (4, 4), ratio, seed=0)  # type: ignore[arg-type]


def test_wrong_arguments() -> None:
    with pytest.raises(MaskError, match="two axes"):
        mask_from_noise(torch.rand(16))
    with pytest.raises(MaskError, match="NaN"):
        mask_from_noise(torch.full((1, 4), float("nan")))
    with pytest.raises(MaskError, match="random, block, grid, cells"):
        draw_mask("stripes", 1, (4, 4), 0.5, seed=0)
    with pytest.raises(MaskError, match=r"leaves 1 to 2"):
        visible_indices(torch.tensor([[True, False], [False, False]]))
    with pytest.raises(MaskError, match="list"):
        check_mask([True, False], 1, 2)  # type: ignore[arg-type]


def test_one_row_serves_a_batch() -> None:
    row = torch.tensor([True, False, True])
    assert check_mask(row, 4, 3).shape == (4, 3)
    assert check_mask(row[None], 4, 3).shape == (4, 3)


@pytest.mark.gpu
def test_the_same_mask_on_cuda() -> None:
    noise = torch.rand(2, 16)
    assert torch.equal(mask_from_noise(noise.cuda()), mask_from_noise(noise))
