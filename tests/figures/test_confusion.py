"""The confusion matrix: readable for few and for many classes."""

import numpy as np
import pytest

from maezoo.errors import ArgumentError
from maezoo.figures import plot_confusion


@pytest.mark.parametrize("width", [None, 7.0])
@pytest.mark.parametrize("classes", [1, 2, 20, 99])
def test_names_do_not_overlap_and_nothing_is_cut_off(classes, width):
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 3, (classes, classes)) + 20 * np.eye(classes, dtype=int)
    figure = plot_confusion(counts, [f"class_number_{n}" for n in range(classes)], width=width)
    figure.canvas.draw()
    panel = figure.axes[0]
    if width is not None:
        assert figure.get_size_inches()[0] == pytest.approx(width)
    for upper, lower in zip(panel.get_yticklabels(), panel.get_yticklabels()[1:], strict=False):
        assert upper.get_window_extent().y0 >= lower.get_window_extent().y1 - 1
    outside = figure.get_tightbbox()
    across, up = figure.get_size_inches()
    assert outside.x0 >= -0.02
    assert outside.y0 >= -0.02
    assert outside.x1 <= across + 0.02
    assert outside.y1 <= up + 0.02
    numbers = [text.get_text() for text in panel.texts]
    assert numbers == ([str(n) for n in counts.flat if n] if classes < 99 else [])


def test_colours_are_shares_of_the_label_and_dark_cells_have_light_numbers():
    figure = plot_confusion([[90, 10], [0, 0]], ["$a$ & b_c", "never there"])
    panel = figure.axes[0]
    assert panel.images[0].get_array().tolist() == [[0.9, 0.1], [0.0, 0.0]]
    assert [text.get_color() for text in panel.texts] == ["white", "black"]
    assert [label.get_text() for label in panel.get_xticklabels()] == ["$a$ & b_c", "never there"]


def test_labels_may_be_numbers():
    panel = plot_confusion([[1, 2], [3, 4]], np.array([10, 20])).axes[0]
    assert [label.get_text() for label in panel.get_xticklabels()] == ["10", "20"]


@pytest.mark.parametrize(
    ("confusion", "labels", "width"),
    [
        ([[1, 2]], ["a"], None),
        ([[1, 2], [3, 4]], ["a"], None),
        ([[1]], "a", None),
        ([[1, -2], [3, 4]], ["a", "b"], None),
        ([[1, np.nan], [3, 4]], ["a", "b"], None),
        (np.empty((0, 0)), [], None),
        ([[1, 2], [3, 4]], ["a", "b"], 1.0),
        ([[1, 2], [3, 4]], ["a", "b"], 1e6),
    ],
)
def test_what_cannot_be_drawn_is_refused(confusion, labels, width):
    with pytest.raises(ArgumentError):
        plot_confusion(confusion, labels, width=width)
