"""What texts and axes measure in inches, and lines of a width."""

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Margins", "margins_of", "place", "text_width", "words_of", "wrap_text"]


class Margins(NamedTuple):
    """What stands out of an axes' box on each side, in inches."""

    left: float
    right: float
    bottom: float
    top: float


def place(axes: "Axes", left: float, bottom: float, width: float, height: float) -> None:
    """Give an axes its place in its figure, in inches."""
    across, up = axes.get_figure().get_size_inches()  # type: ignore[union-attr]
    axes.set_position((left / across, bottom / up, width / across, height / up))


def margins_of(axes: "Axes") -> Margins:
    """Measure what stands out of an axes' box."""
    figure: Any = axes.get_figure()
    box: Any = axes.get_position().transformed(figure.transFigure)
    outside: Any = axes.get_tightbbox(figure.canvas.get_renderer())
    if outside is None:
        return Margins(0, 0, 0, 0)
    sides = (box.x0 - outside.x0, outside.x1 - box.x1, box.y0 - outside.y0, outside.y1 - box.y1)
    return Margins(*(max(0.0, side / figure.dpi) for side in sides))


def text_width(figure: "Figure", text: str, size: Any) -> float:
    """Measure a line of text in inches."""
    from matplotlib.text import Text

    canvas: Any = figure.canvas
    drawn = Text(0, 0, text, fontsize=size, figure=figure, parse_math=False)
    return float(drawn.get_window_extent(canvas.get_renderer()).width / figure.dpi)


def words_of(text: str) -> list[str]:
    """Split a text at its spaces, but not in brackets."""
    return [word for word in re.split(r"\s+(?![^(]*\))", text) if word]


def wrap_text(figure: "Figure", text: str, width: float, size: Any) -> str:
    """Break a text into lines of a width in inches: between words, and within a word that is wider."""
    lines: list[str] = []
    for word in words_of(text):
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(figure, joined, size) <= width:
            lines[-1] = joined
            continue
        lines.append(word)
        while len(lines[-1]) > 1 and text_width(figure, lines[-1], size) > width:
            word = lines[-1]
            fits = [n for n in range(1, len(word)) if text_width(figure, word[:n], size) <= width]
            cut = max(fits, default=1)
            lines[-1:] = [word[:cut], word[cut:]]
    return "\n".join(lines)
