"""The confusion matrix: which classes are taken for which."""

from collections.abc import Sequence, Sized
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maezoo.errors import ArgumentError
from maezoo.figures.canvas import check_width, new_figure, text_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_confusion"]

_COLOURS = "Blues"
_CELL = 0.45  # inches of a cell, where there is room
_SIDES = (2.0, 11.0)  # inches of the matrix, at least and at most
_NUMBERS = 25  # classes up to which each cell says its count
_LEAST = 4  # points of a count that can be read
_LONGEST = 28  # characters of a label
_LETTER = 0.6  # width of a letter over its size


def plot_confusion(confusion: ArrayLike, labels: Sequence[str], *, width: float | None = None) -> "Figure":
    """Draw a confusion matrix. Colours are shares of each row, numbers are images.

    Where no numbers fit, the colours follow the square root, so that single images can be seen. Fonts and sizes are
    those of matplotlib's settings, smaller where the classes would not fit.

    Args:
        confusion: (L, L) counts, images by their true label (row) and the label predicted (column).
        labels: (L,) names of the classes.
        width: of the figure in inches; by the number of classes when `None`.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ArgumentError: no square matrix of counts, another number of labels, or a width that is too small.

    Example:
        >>> [text.get_text() for text in plot_confusion([[8, 2], [1, 9]], ["cat", "dog"]).axes[0].texts]
        ['8', '2', '1', '9']
    """
    counts = _checked(confusion, labels)
    check_width(width)
    figure = new_figure(1, 1)
    from matplotlib.colors import PowerNorm

    size = len(counts)
    cut = [name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…" for name in map(str, labels)]
    figure.set_layout_engine("constrained")
    side, font = _sized(figure, size, max(map(len, cut)), width)
    names = list(map(text_of, cut))
    panel = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    drawn = panel.imshow(shares, cmap=_COLOURS, interpolation="nearest", aspect="equal")
    number = _number_size(counts, side / size)
    drawn.set_norm(PowerNorm(0.5 if number is None else 1, 0, 1))  # where no number tells, few images should be seen
    panel.set_xticks(range(size), names, rotation=90, fontsize=font, parse_math=False)
    panel.set_yticks(range(size), names, fontsize=font, parse_math=False)
    if number is None:
        panel.tick_params(length=1, pad=1)
    else:
        _write_counts(panel, counts, shares, number)
    panel.set(xlabel="predicted", ylabel="label")
    bar = figure.colorbar(drawn, cax=panel.inset_axes((1 + 0.1 / side, 0, 0.13 / side, 1)))
    bar.set_label("share of the label's images")
    bar.outline.set_visible(False)
    return figure


def _sized(figure: "Figure", size: int, longest: int, width: float | None) -> tuple[float, float]:
    """Set the figure's size; return the inches of the matrix and the points of the names."""
    text = _points("axes.labelsize") / 72  # inches
    around = 7 * text  # the colour bar with its numbers, and the words on both sides
    if width is None:
        side = min(max(size * _CELL, _SIDES[0]), _SIDES[1])
        font = min(_points("xtick.labelsize"), 0.8 * 72 * side / size)
    else:  # side + names + around is the width, and a name is no higher than a row
        font = min(_points("xtick.labelsize"), 0.8 * 72 * (width - around) / (size + 0.8 * _LETTER * longest))
        side = width - around - longest * _LETTER * font / 72
    names = longest * _LETTER * font / 72
    if side < 0.5:
        raise ArgumentError(f"{size} classes do not fit into width={width}; take a larger one.", found=width)
    figure.set_size_inches(side + names + around, side + names + 2.5 * text)
    return side, font


def _points(setting: str) -> float:
    """Return a text size of matplotlib's settings, which may be a word such as "medium"."""
    from matplotlib import rcParams
    from matplotlib.font_manager import FontProperties

    settings: Any = rcParams
    return float(FontProperties(size=settings[setting]).get_size_in_points())


def _number_size(counts: NDArray[Any], cell: float) -> float | None:
    """Return the points of a count in a cell of so many inches, or `None` where it could not be read."""
    digits = max(len(f"{int(counts.max())}"), 2)
    font = min(_points("font.size"), 0.8 * cell * 72 / (digits * _LETTER), 0.6 * cell * 72)
    return font if font >= _LEAST and len(counts) <= _NUMBERS else None


def _write_counts(panel: "Axes", counts: NDArray[Any], shares: NDArray[np.float64], font: float) -> None:
    """Write the count into each cell that has one, dark on light colours and light on dark ones."""
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if shares[row, column] > 0.55 else "black"
        text = f"{int(counts[row, column])}"
        panel.text(column, row, text, ha="center", va="center", fontsize=font, color=colour)


def _checked(confusion: ArrayLike, labels: Sequence[str]) -> NDArray[Any]:
    """Return the counts, or say why they cannot be drawn."""
    counts = np.asarray(confusion)
    square = counts.ndim == 2 and counts.shape[0] == counts.shape[1] and counts.size > 0
    if not square or counts.dtype.kind not in "fiu" or not np.isfinite(counts).all() or (counts < 0).any():
        raise ArgumentError(
            f"a confusion matrix is (L, L) counts of 0 and more; got shape {counts.shape}, type {counts.dtype}."
        )
    if isinstance(labels, str) or not isinstance(labels, Sized) or len(labels) != len(counts):
        raise ArgumentError(f"labels is a list with one name for each of the {len(counts)} classes; got {labels!r}.")
    return counts
