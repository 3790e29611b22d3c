import numpy as np
import pytest
import torch
from PIL import Image

from maezoo.errors import ArgumentError, ImageError
from maezoo.figures import plot_map


def test_a_map_lies_over_the_picture_as_the_model_sees_it(wide, four, draw):
    values = torch.randn(8, 14)
    figure = plot_map(four[0], values, model=wide, label="part of the logit", width=3.3)
    draw(figure)
    assert figure.get_figwidth() == pytest.approx(3.3)
    _, shown, both, _ = figure.axes
    assert np.allclose(shown.images[0].get_array(), values)
    assert both.images[1].get_extent() == both.images[0].get_extent() == [0, 112, 64, 0]
    low, high = shown.images[0].get_clim()
    assert low == -high


def test_any_kind_of_map_and_picture(wide, four, draw):
    grid = np.arange(112.0).reshape(8, 14)
    for values in (grid, grid.tolist(), torch.from_numpy(grid).bfloat16(), grid.astype(int), grid > 5, grid.ravel()):
        figure = plot_map(four[:1], values, model=wide)
        assert figure.axes[1].images[0].get_array().shape == (8, 14)
    draw(
        plot_map(four[:2], np.stack([grid, -grid]), model=wide, captions=["a", "b"], limits=(-1, 5), colours="cividis")
    )
    result = wide.reconstruct(four[:2])
    plot_map(result.original, result.error.reshape(2, 8, 14))
    with Image.open(four[0]) as photo:
        plot_map(photo.resize((140, 80)), grid)
    with_gap = np.where(grid > 100, np.nan, grid)
    draw(plot_map(torch.rand(1, 64, 112), with_gap))
    draw(plot_map(torch.rand(3, 64, 112), np.zeros((8, 14))))


def test_what_does_not_fit_is_refused(wide, four):
    with pytest.raises(ArgumentError, match=r"\(8, 14\)"):
        plot_map(four[0], np.zeros((12, 12)), model=wide)
    with pytest.raises(ArgumentError, match=r"values\[:, k\]"):
        plot_map(four[:2], np.zeros((2, 3, 8, 14)), model=wide)
    with pytest.raises(ArgumentError, match="one map each"):
        plot_map(four[:2], np.zeros((8, 14)), model=wide)
    with pytest.raises(ArgumentError, match="Pass model="):
        plot_map(torch.rand(3, 64, 112), np.zeros((12, 12)))
    with pytest.raises(ArgumentError, match="no finite"):
        plot_map(torch.rand(3, 64, 112), np.full((8, 14), np.nan))
    with pytest.raises(ArgumentError, match="at least one"):
        plot_map([], np.zeros((0, 8, 14)))
    with pytest.raises(ImageError, match="model="):
        plot_map(torch.randn(3, 64, 112), np.zeros((8, 14)))
    with pytest.raises(ImageError, match="no such file"):
        plot_map("nowhere.png", np.zeros((8, 14)))
