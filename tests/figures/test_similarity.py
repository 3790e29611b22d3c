import pytest
import torch
from torch.nn import functional as F

from maezoo import figures
from maezoo.errors import SizeError
from maezoo.figures import patch_similarity


def test_it_is_the_cosine_of_centred_tokens(model, four):
    tokens = model.encode(four[:1])[0, 1:].float()
    tokens = tokens - tokens.mean(dim=0)
    expected = F.normalize(tokens, dim=1) @ F.normalize(tokens[3 * 12 + 7], dim=0)
    found = patch_similarity(model, four[:1], (3, 7))[0].flatten()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("centred", [True, False])
def test_a_patch_is_most_like_itself(wide, four, centred):
    found = patch_similarity(wide, four, (7, 13), layer=2, centred=centred)
    assert found.shape == (4, 8, 14)
    torch.testing.assert_close(found[:, 7, 13], torch.ones(4))
    assert found.abs().max() <= 1 + 1e-5


@pytest.mark.parametrize("patch", [(12, 0), (0, 12), (-1, 0)])
def test_a_patch_outside_is_refused(model, four, patch):
    with pytest.raises(SizeError, match="12 rows and 12 columns"):
        patch_similarity(model, four[:1], patch)


def test_it_is_drawn_on_any_grid(wide, four, draw):
    figure = figures.plot_similarity(wide, four[0], [(1, 1), (6, 13)])
    assert [axes.get_title() for axes in figure.axes[:3]] == ["image", "row 1, column 1", "row 6, column 13"]
    draw(figure)
    with pytest.raises(ValueError, match="at least one"):
        figures.plot_similarity(wide, four[0], [])
