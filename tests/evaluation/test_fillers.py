"""Fillers of hidden patches: on pictures whose answer is known."""

import pytest
import torch

from maezoo import random_mask
from maezoo.errors import MaskError
from maezoo.evaluation import harmonic_fill, hidden_error, mean_fill, nearest_fill

FILLERS = [mean_fill, nearest_fill, harmonic_fill]


@pytest.mark.parametrize("fill", FILLERS)
def test_visible_pixels_stay_and_hidden_ones_are_not_looked_at(fill):
    images = torch.rand(2, 3, 24, 32)
    mask = random_mask(2, (6, 8), 0.7, seed=0)
    hidden = mask.view(2, 1, 6, 8).repeat_interleave(4, 2).repeat_interleave(4, 3).expand_as(images)
    filled = fill(images, mask, 4)
    assert torch.equal(filled[~hidden], images[~hidden])
    spoiled = torch.where(hidden, torch.full_like(images, 9.0), images)
    assert torch.allclose(fill(spoiled, mask, 4)[hidden], filled[hidden], atol=1e-5)
    assert filled.min() >= -1e-5
    assert filled.max() <= 1 + 1e-5


@pytest.mark.parametrize("fill", FILLERS)
def test_one_colour_is_filled_exactly(fill):
    images = torch.full((1, 3, 16, 16), 0.4)
    assert torch.allclose(fill(images, random_mask(1, (4, 4), 0.75, seed=1), 4), images, atol=1e-6)


@pytest.mark.parametrize("fill", FILLERS)
def test_nothing_hidden_changes_nothing_and_nothing_visible_is_refused(fill):
    images = torch.rand(1, 3, 8, 8)
    assert torch.equal(fill(images, torch.zeros(1, 4, dtype=torch.bool), 4), images)
    with pytest.raises(MaskError, match="visible"):
        fill(images, torch.ones(1, 4, dtype=torch.bool), 4)


def test_a_harmonic_picture_is_filled_exactly():
    ramp = torch.linspace(0, 1, 24).expand(1, 3, 12, 24).contiguous()
    mask = torch.zeros(3, 6, dtype=torch.bool)
    mask[:, 2:4] = True  # whole columns: the reflecting border is right for a ramp
    filled = harmonic_fill(ramp, mask.flatten(), 4)
    assert torch.allclose(filled, ramp, atol=1e-5)
    assert hidden_error(filled, ramp, mask.flatten(), 4) < 1e-9
    assert hidden_error(mean_fill(ramp, mask.flatten(), 4), ramp, mask.flatten(), 4) > 1e-3
