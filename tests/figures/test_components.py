import pytest
import torch

from maezoo import figures
from maezoo.figures import patch_components


def test_three_components_in_unit_range_on_any_grid(wide, four):
    found = patch_components(wide, four)
    assert found.shape == (4, 3, 8, 14)
    assert found.min() == 0
    assert found.max() == 1


def test_two_calls_give_the_same_colours(model, four):
    assert torch.equal(patch_components(model, four), patch_components(model, four))


def test_the_first_component_varies_most(model, four):
    tokens = model.encode(four)[:, 1:].flatten(0, 1)
    tokens = tokens - tokens.mean(dim=0)
    order = torch.pca_lowrank(tokens, q=3, center=False, niter=8)[2]
    first = (tokens @ order[:, 0]).reshape(4, 12, 12)
    found = patch_components(model, four)[:, 0]
    inside = (found > 0) & (found < 1)
    assert torch.corrcoef(torch.stack([first[inside], found[inside]]))[0, 1].abs() > 0.999


def test_an_image_of_two_patches_has_components(model):
    assert patch_components(model, torch.rand(1, 3, 8, 16)).shape == (1, 3, 1, 2)


def test_a_uniform_image_has_no_nan(model):
    assert torch.isfinite(patch_components(model, torch.zeros(1, 3, 96, 96))).all()


def test_they_are_drawn(model, four, draw):
    draw(figures.plot_components(model, four, captions=[path.stem for path in four]))
    with pytest.raises(ValueError, match="no image"):
        figures.plot_components(model, [])
