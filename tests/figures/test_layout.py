"""Figures fit the width that is asked for, with the fonts of matplotlib's settings, and nothing overlaps or is cut."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.text import Text

from maezoo import figures
from maezoo.errors import ArgumentError

LONG = "a caption that is far too long to stand on the left of a small row, with $dollars$ and_under_scores.jpeg"


def texts(figure):
    """The texts that are drawn, and their boxes in pixels."""
    figure.draw_without_rendering()
    hidden = []
    for axes in figure.axes:
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, sorted(axes.get_ylim()))):
            ticks = [tick for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high]
            hidden += [text for part in (ticks if axes.axison else [axis]) for text in part.findobj(Text)]
    shown = [each for each in figure.findobj(Text) if each.get_text() and each.get_visible() and each not in hidden]
    renderer = figure.canvas.get_renderer()
    return [(each, each.get_window_extent(renderer)) for each in shown]


def check(figure, width):
    """Nothing sticks out of the figure; no title or caption lies on another text or on a picture."""
    assert figure.get_figwidth() == pytest.approx(width)
    found = [(text, box) for text, box in texts(figure) if box.width]
    for text, box in found:
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1
        assert inside, text.get_text()
    for (one, box), (other, their) in combinations(found, 2):
        assert not box.padded(-1).overlaps(their.padded(-1)), (one.get_text(), other.get_text())
    for panel in figure.axes:
        if panel.images:
            for text, box in found:
                assert not box.padded(-1).overlaps(panel.get_window_extent().padded(-1)), text.get_text()


@pytest.mark.parametrize("width", [3.3, 6.75])
@pytest.mark.parametrize("size", [8, 14])
def test_every_figure_fits_its_width(model, four, width, size):
    with rc_context({"font.size": size}):
        result = model.reconstruct(four[:2])
        check(figures.plot_reconstruction(result, captions=["coffee", "a hat"], width=width), width)
        check(figures.plot_reconstruction(result, captions=["coffee", LONG], width=width), width)
        check(figures.plot_similarity(model, four[0], [(1, 1), (6, 11)], width=width), width)
        sweep = figures.measure_sweep(model, four[:2], ratios=(0.25, 0.5, 0.75), seeds=1)
        check(figures.plot_sweep(sweep, width=width), width)
        check(figures.plot_sweep([sweep, sweep], labels=["one", "the other"], width=width), width)


def test_fonts_are_those_of_the_settings(model, four):
    found = {}
    for size in (8, 14):
        with rc_context({"font.size": size, "font.family": "serif"}):
            figure = figures.plot_reconstruction(model.reconstruct(four[0]), captions=["a"], width=6)
        found[size] = {text.get_fontsize() for text, _ in texts(figure)}
        assert all(text.get_fontfamily() == ["serif"] for text, _ in texts(figure))
    assert max(found[8]) < min(found[14])


def test_captions_are_never_cut(model, four):
    figure = figures.plot_reconstruction(model.reconstruct(four[0]), captions=[LONG], width=3.3)
    assert LONG in [text.get_text().replace("\n", " ") for text, _ in texts(figure)]


def test_columns_and_titles_are_chosen(model, four, draw):
    result = model.reconstruct(four[:1])
    chosen = {"columns": ("pasted", "original"), "titles": ("ours", "$x_0$")}
    figure = figures.plot_reconstruction([result, result], **chosen)
    draw(figure)
    assert [axes.get_title() for axes in figure.axes] == ["ours", "$x_0$", "", ""]  # and no colour bar
    assert (figure.axes[0].images[0].get_array() == result.pixels[0].permute(1, 2, 0).numpy()).all()
    for wrong in ({"columns": ("paste",)}, {"columns": ()}, {"columns": "error"}, {"titles": ("one",)}, {"width": 0.5}):
        with pytest.raises(ArgumentError):
            figures.plot_reconstruction(result, **wrong)


def test_errors_of_two_targets_share_no_scale(model, normpix, four, draw):
    both = [model.reconstruct(four[0]), normpix.reconstruct(four[0])]
    with pytest.raises(ArgumentError, match="common scale"):
        figures.plot_reconstruction(both)
    draw(figures.plot_reconstruction(both, columns=("original", "pasted"), captions=["pixel", "normpix"]))


def test_text_is_seen_on_a_dark_page(model, four, draw):
    with rc_context({"figure.facecolor": "black", "text.color": "white", "axes.titlecolor": "auto"}):
        picture = draw(figures.plot_reconstruction(model.reconstruct(four[0]), captions=["a"]))
    assert picture.getpixel((2, 2)) == (0, 0, 0)
    assert np.asarray(picture.crop((0, 0, 250, 25))).max() > 200


def test_captions_that_move_below_their_rows_are_level(model, four):
    result = model.reconstruct(four[:2])
    figure = figures.plot_reconstruction(result, captions=["a$b_c$ {", "b"], width=3.3)  # they fit on the left at first
    assert [text.get_rotation() for text in figure.texts] == [0, 0]
