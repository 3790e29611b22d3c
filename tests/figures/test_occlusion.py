import numpy as np
import pytest
import torch

from maezoo.errors import ArgumentError
from maezoo.figures import patch_occlusion
from maezoo.figures.occlusion import _places


def test_a_place_is_the_score_with_these_patches_hidden(wide, four):
    def score(x):
        return x[:, :2] * 3

    found = patch_occlusion(wide, four[:2], score, pool="mean", block=2, batch_size=5)
    assert found.shape == (2, 2, 8, 14)
    mask = torch.zeros(2, 8, 14, dtype=torch.bool)
    mask[:, 2:4, 6:8] = True
    left = wide.encode(four[:2], mask=mask.flatten(1))[:, 1:].mean(dim=1)
    expected = score(wide.features(four[:2], pool="mean")) - score(left)
    for row, column in ((2, 6), (3, 7)):
        torch.testing.assert_close(found[:, :, row, column], expected, atol=1e-5, rtol=1e-4)


def test_without_a_score_it_is_the_fall_of_the_cosine(wide, four):
    found = patch_occlusion(wide, four[0], pool="cls+mean", block=4)
    assert found.shape == (1, 8, 14)
    assert (found >= -1e-6).all()
    assert found.max() > 0


def test_scores_may_be_arrays(wide, four):
    coef = np.ones(192)
    as_array = patch_occlusion(wide, four[0], lambda x: x.numpy() @ coef, block=4)
    as_tensor = patch_occlusion(wide, four[0], lambda x: x.double() @ torch.from_numpy(coef), block=4)
    torch.testing.assert_close(as_array, as_tensor)
    assert patch_occlusion(wide, [], block=4).shape == (0, 8, 14)


@pytest.mark.parametrize(("block", "step", "places"), [(1, None, 35), (2, None, 12), (3, 1, 15), (4, 3, 4)])
def test_places_hide_equal_numbers_and_together_every_patch(block, step, places):
    masks = _places((5, 7), block, step)
    assert len(masks) == places
    assert (masks.sum(dim=1) == block * block).all()
    assert masks.any(dim=0).all()


def test_what_cannot_be_measured_is_refused(wide, four):
    for wrong in ({"block": 0}, {"block": 9}, {"block": 2, "step": 3}, {"block": True}, {"step": 0}, {"pool": "max"}):
        with pytest.raises(ArgumentError):
            patch_occlusion(wide, four[0], **wrong)
    with pytest.raises(ArgumentError, match="returned"):
        patch_occlusion(wide, four[0], lambda x: x.sum(), block=4)
