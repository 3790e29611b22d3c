import re
import sys
from dataclasses import replace

import pytest
import torch

import maezoo
from maezoo import figures
from maezoo.errors import MaskError, MissingExtraError
from maezoo.figures.canvas import encode_figure, new_figure, to_pixels
from maezoo.figures.grids import error_grid


def titles(figure):
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def test_every_image_has_a_row_of_five(model, four, draw):
    figure = figures.plot_reconstruction(model.reconstruct(four), captions=[path.stem for path in four])
    assert titles(figure) == ["original", "masked", "reconstruction", "pasted", "error"]
    assert len(figure.axes) == 4 * 5 + 1
    picture = draw(figure)
    assert picture.getpixel((2, 2)) == (255, 255, 255)


def test_seen_patches_have_no_error_shown(model, four):
    result = model.reconstruct(four[:1])
    shown = figures.plot_reconstruction(result).axes[4].get_images()[0].get_array()
    assert torch.equal(torch.from_numpy(shown.mask), ~result.mask[0].reshape(12, 12))
    hidden = result.mask[0].reshape(12, 12)
    assert torch.equal(torch.from_numpy(shown.data)[hidden], result.error[0].reshape(12, 12)[hidden])


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_nothing_or_all_hidden_is_drawn(wide, four, draw, ratio):
    draw(figures.plot_reconstruction(wide.reconstruct(four[:2], mask_ratio=ratio)))


def test_one_row_and_long_or_odd_captions(wide, four, draw):
    caption = "a very long name of a photo with $dollars$ and_under_scores, that goes on and on and on.jpeg"
    draw(figures.plot_reconstruction(wide.reconstruct(four[0]), captions=[caption]))


def test_leaked_colours_are_marked(normpix, four):
    assert any("true colours" in title for title in titles(figures.plot_reconstruction(normpix.reconstruct(four[0]))))
    whole = maezoo.reconstruct_all(normpix, four[0], ratio=0.5)
    assert any("true colours" in title for title in titles(figures.plot_whole(whole)))


def test_one_channel_is_shown_grey(draw):
    model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu", in_chans=1)
    draw(figures.plot_reconstruction(model.reconstruct(torch.rand(1, 1, 96, 96))))
    grey = to_pixels(torch.full((1, 2, 3), 0.25))
    assert grey.shape == (2, 3, 3)
    assert (grey == 0.25).all()


def test_captions_and_images_must_match(model, four):
    result = model.reconstruct(four[:2])
    for captions in (["one"], "ab"):
        with pytest.raises(ValueError, match="each of the 2 images"):
            figures.plot_reconstruction(result, captions=captions)
    with pytest.raises(ValueError, match="no image"):
        figures.plot_reconstruction(model.reconstruct([]))


def test_pictures_that_are_no_patches_are_refused(model, four):
    result = model.reconstruct(four[0])
    assert error_grid(result) == (12, 12)
    with pytest.raises(MaskError, match="143 square patches"):
        error_grid(replace(result, mask=result.mask[:, 1:]))


def test_figures_leave_no_global_state_behind(model, four):
    figures.plot_reconstruction(model.reconstruct(four[0]))
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_a_missing_matplotlib_is_named(monkeypatch, model, four):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'maezoo[figures]'")):
        figures.plot_reconstruction(model.reconstruct(four[0]))


def test_the_suffix_decides_the_format_of_a_figure():
    pytest.importorskip("matplotlib")
    assert encode_figure(new_figure(1, 1), ".png").startswith(b"\x89PNG")
    assert encode_figure(new_figure(1, 1), ".svg").startswith(b"<?xml")
    with pytest.raises(ValueError, match="xyz"):
        encode_figure(new_figure(1, 1), ".xyz")
