"""Equal panels in rows and columns whose titles, captions and colour bar fit a width, whatever the fonts.

Texts keep the size of matplotlib's settings. What they need is measured, the panels take the rest, and the height
follows. matplotlib's own layouts give up where a panel gets small.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from maezoo.errors import ArgumentError
from maezoo.figures.canvas import check_width, new_figure, text_of
from maezoo.figures.measures import Margins, margins_of, place, text_width, words_of, wrap_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

__all__ = ["Above", "PanelGrid"]

_GAP = 0.07  # inches between panels
_EDGE = 0.04  # inches round the figure
_BAR = 0.1  # inches that a colour bar is wide
_LEAST = 0.15  # inches of the smallest panel
_LINE_HEIGHT = 1.35  # of the font's size
_LINES = 3  # of a caption on the left
_ROUNDS = 8


class Above(Protocol):
    """What stands above the panels of a figure."""

    def fit(self, width: float) -> float:
        """Take a width in inches and return the height needed."""
        ...

    def place(self, bottom: float) -> None:
        """Take a place in the figure, `bottom` inches above its lower edge."""
        ...


class PanelGrid:
    """A figure of equal panels.

    Args:
        rows: of panels.
        columns: of panels.
        aspect: height over width of a panel's picture.
        panel: width of a panel in inches, where no width is given.
        width: of the figure in inches; `None` for what panels and texts need.
        figure: to draw in; a new one when `None`.

    Attributes:
        figure: the figure; `fit` returns it finished.
        axes: (rows, columns) of Axes, without frames.
    """

    def __init__(
        self,
        rows: int,
        columns: int,
        aspect: float,
        *,
        panel: float = 1.75,
        width: float | None = None,
        figure: "Figure | None" = None,
    ) -> None:
        check_width(width)
        self.figure = figure or new_figure(width or 8.0, 4.0)
        self.axes: NDArray[Any] = self.figure.subplots(rows, columns, squeeze=False)
        for axis in self.axes.flat:
            axis.set_axis_off()
        self._aspect, self._panel, self._width = aspect, panel, width
        self._titles: list[str] = [""] * columns
        self._captions: list[_Caption] = []
        self._below = False  # captions stand below their rows
        self._bar: Axes | None = None

    def add_titles(self, titles: Sequence[str]) -> None:
        """Write a title over each column; what stands between dollars is set as mathematics."""
        self._titles = list(titles)

    def add_caption(self, row: int, text: str, rows: int = 1) -> None:
        """Write a caption for a row, or for several: upright on their left, or below them where it is long."""
        from matplotlib import rcParams

        if text:
            written = self.figure.text(
                0, 0, "", transform=self.figure.dpi_scale_trans, fontsize=rcParams["axes.labelsize"], parse_math=False
            )
            self._captions.append(_Caption(written, text_of(text), row, rows))

    def add_bar(self, drawn: Any, label: str, *, extend: str = "neither") -> None:
        """Add one colour bar on the right; `extend="max"` points it where greater values are cut off."""
        self._bar = self.figure.add_axes((0.9, 0.1, 0.05, 0.8))
        bar = self.figure.colorbar(drawn, cax=self._bar, extend=extend)
        bar.set_label(text_of(label))
        bar.outline.set_visible(False)

    def fit(self, above: Above | None = None) -> "Figure":
        """Give all parts their places and return the figure.

        Raises:
            ArgumentError: the width leaves no room for the panels.
        """
        start = margins = Margins(_EDGE, _EDGE, _EDGE, _EDGE)
        columns = self.axes.shape[1]
        for _ in range(_ROUNDS):
            panel = self._panel
            if self._width is not None:
                panel = (self._width - margins.left - margins.right - (columns - 1) * _GAP) / columns
            self._check_room(panel)
            if not self._write(panel):
                self._below, margins = True, start
                continue
            self._place(panel, margins, above)
            found = self._measure()
            if np.allclose(found, margins, atol=0.005):
                break
            margins = Margins(*map(max, found, margins)) if self._width is not None else found
        return self.figure

    def _check_room(self, panel: float) -> None:
        if panel < _LEAST:
            raise ArgumentError(
                f"{self.axes.shape[1]} panels and their captions do not fit into width={self._width}: take a larger "
                "width, fewer columns, shorter captions or a smaller font.",
                found=self._width,
            )

    def _write(self, panel: float) -> bool:
        """Write titles and captions for panels of a width; return False where captions on the left are too long."""
        from matplotlib import rcParams

        self._write_titles(panel, rcParams["axes.titlesize"])
        columns = self.axes.shape[1]
        for caption in self._captions:
            length = caption.rows * (panel * self._aspect + _GAP) - _GAP
            if self._below:
                length = columns * (panel + _GAP) - _GAP
            size = caption.written.get_fontsize()
            text = wrap_text(self.figure, caption.text, length, size)
            caption.written.set(text=text, rotation=0 if self._below else 90)  # they may move below in a later round
            broken = text.replace("\n", " ") != " ".join(caption.text.split())  # within a word
            if not self._below and (broken or text.count("\n") >= _LINES):
                return False
        return True

    def _write_titles(self, panel: float, size: Any) -> None:
        """Write the titles: wrapped, or upright where a word is wider than its panel."""
        words = [word for title in self._titles for word in ([title] if "$" in title else words_of(title))]
        longest = max((text_width(self.figure, word, size) for word in words), default=0.0)
        upright = longest > panel + 0.5 * _GAP
        for axis, title in zip(self.axes[0], self._titles, strict=True):
            written = axis.set_title("", pad=4, rotation=90 if upright else 0, va="bottom" if upright else "baseline")
            most = int(panel / (written.get_fontsize() * _LINE_HEIGHT / 72)) if upright else len(words)
            room = max(longest, panel) + 0.01
            lines = title if "$" in title else wrap_text(self.figure, title, room, size)
            while lines.count("\n") >= max(1, most):
                room *= 1.2
                lines = wrap_text(self.figure, title, room, size)
            written.set_text(lines)

    def _place(self, panel: float, margins: Margins, above: Above | None) -> None:
        """Set the figure's size and the places of its parts."""
        rows, columns = self.axes.shape
        height = panel * self._aspect
        gaps = [_GAP] * (rows - 1) + [0.0]  # below each row
        for caption in self._captions if self._below else []:
            gaps[caption.row + caption.rows - 1] += self._size_of(caption)[1] + _GAP
        inner = rows * height + sum(gaps)
        right = margins.left + columns * panel + (columns - 1) * _GAP
        width = self._width or right + margins.right
        head = above.fit(width) if above else 0.0
        self.figure.set_size_inches(width, margins.bottom + inner + margins.top + head)
        bottoms = [margins.bottom + inner - (row + 1) * height - sum(gaps[:row]) for row in range(rows)]
        for row, column in np.ndindex(rows, columns):
            place(self.axes[row, column], margins.left + column * (panel + _GAP), bottoms[row], panel, height)
        for caption in self._captions:
            last = bottoms[caption.row + caption.rows - 1]
            if self._below:
                caption.written.set(position=(margins.left, last - 0.5 * _GAP), ha="left", va="top")
            else:
                middle = (bottoms[caption.row] + height + last) / 2
                caption.written.set(position=(margins.left - _GAP, middle), ha="right", va="center")
        if self._bar is not None:
            place(self._bar, right + _GAP, bottoms[-1], _BAR, bottoms[0] + height - bottoms[-1])
        if above:
            above.place(margins.bottom + inner + margins.top)

    def _measure(self) -> Margins:
        """Return the room that the texts need round the panels."""
        sides = list(zip(*map(margins_of, (*self.axes[0], *self.axes[-1])), strict=True))
        left, right, bottom, top = (max(side) + _EDGE for side in sides)
        if not self._below:
            left = max([left, *(self._size_of(caption)[0] + _GAP + _EDGE for caption in self._captions)])
        if self._bar is not None:
            bar = margins_of(self._bar)
            right, bottom, top = bar.right + _GAP + _BAR + _EDGE, max(bottom, bar.bottom), max(top, bar.top + _EDGE)
        return Margins(left, right, bottom, top)

    def _size_of(self, caption: "_Caption") -> tuple[float, float]:
        """Measure a caption: width and height in inches."""
        canvas: Any = self.figure.canvas
        box = caption.written.get_window_extent(canvas.get_renderer())
        return float(box.width / self.figure.dpi), float(box.height / self.figure.dpi)


@dataclass(frozen=True)
class _Caption:
    """A text for some rows of panels."""

    written: "Text"
    text: str
    row: int
    rows: int
