"""The paper that all figures are drawn on: sizes, text, colours. matplotlib is imported when a figure is made."""

import textwrap
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from maezoo.errors import ArgumentError, MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BAR",
    "ERROR_COLOURS",
    "LINE_STYLES",
    "MAP_COLOURS",
    "SEEN_COLOUR",
    "TEXT_SIZE",
    "add_colour_bar",
    "check_captions",
    "encode_figure",
    "grid_of_panels",
    "label_row",
    "new_figure",
    "show_map",
    "show_picture",
    "title_column",
    "to_pixels",
]

TEXT_SIZE = 12  # points; at 10 inches on a README's 830 pixels this is 14 pixels high
DOTS_PER_INCH = 120
BAR = 0.85  # inches that a colour bar takes
_GAP = 0.08  # inches between panels
_TITLE = 0.3  # inches for the titles
ERROR_COLOURS = "magma"  # perceptually even, and read by the colour-blind, as are viridis and cividis
MAP_COLOURS = "viridis"
SEEN_COLOUR = "#d9d9d9"
LINE_STYLES = {  # Okabe and Ito's colours, told apart by marker and dash as well
    "random": ("#0072B2", "o", "-"),
    "block": ("#D55E00", "s", "--"),
    "grid": ("#009E73", "^", "-."),
}


def new_figure(width: float, height: float) -> "Figure":
    """Make an empty white figure of a size in inches.

    Raises:
        MissingExtraError: matplotlib is not installed; the message has the install command.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise MissingExtraError.for_extra("figures", "drawing figures") from error
    layout = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, wspace=0.02, hspace=0.02)
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    return figure


def encode_figure(figure: "Figure", suffix: str) -> bytes:
    """Return a figure as the bytes of a file with a suffix; PNG where there is none.

    Raises:
        ArgumentError: a suffix that matplotlib knows no format for.
    """
    picture = BytesIO()
    figure.savefig(picture, format=suffix.removeprefix(".") or "png")
    return picture.getvalue()


def grid_of_panels(
    rows: int, columns: int, aspect: float, *, panel: float = 1.75, margin: float = 0.3
) -> "tuple[Figure, NDArray[Any]]":
    """Make a figure of equal panels.

    Args:
        rows: of panels.
        columns: of panels.
        aspect: height over width of a panel's picture.
        panel: width of a panel in inches.
        margin: inches on the left and right for captions and a colour bar.

    Returns:
        The figure and its (rows, columns) array of Axes.
    """
    figure = new_figure(columns * (panel + _GAP) + margin, rows * (panel * aspect + _GAP) + _TITLE)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    return figure, axes


def show_picture(panel: "Axes", image: Tensor) -> None:
    """Show (C, H, W) pixels in [0, 1]."""
    panel.imshow(to_pixels(image), interpolation="nearest", aspect="equal")


def show_map(
    panel: "Axes",
    values: Tensor,
    limits: tuple[float, float] | None = None,
    *,
    colours: str = MAP_COLOURS,
    absent: Tensor | None = None,
) -> Any:
    """Show an (h, w) map.

    Args:
        panel: where.
        values: (h, w) numbers.
        limits: values of the darkest and the lightest colour; the map's own when `None`.
        colours: name of a matplotlib colour map.
        absent: (h, w) bool, True where there is nothing to show; those cells are grey.

    Returns:
        What a colour bar is made of.
    """
    shown = np.ma.masked_array(values.detach().float().cpu().numpy())
    if absent is not None:
        shown.mask = absent.cpu().numpy()
    low, high = limits or (None, None)
    panel.set_facecolor(SEEN_COLOUR)
    panel.set_axis_on()
    panel.set(xticks=[], yticks=[])
    for edge in panel.spines.values():
        edge.set_visible(False)
    return panel.imshow(shown, cmap=colours, vmin=low, vmax=high, interpolation="nearest", aspect="equal")


def add_colour_bar(
    figure: "Figure", drawn: Any, panels: Sequence["Axes"], label: str, *, extend: str = "neither"
) -> None:
    """Add one colour bar on the right of some panels; `extend="max"` points it where greater values are cut off."""
    bar = figure.colorbar(drawn, ax=list(panels), fraction=0.06, pad=0.02, aspect=20, extend=extend)
    bar.ax.tick_params(labelsize=TEXT_SIZE - 2)
    bar.set_label(label, size=TEXT_SIZE - 1)
    bar.outline.set_visible(False)


def title_column(panel: "Axes", text: str) -> None:
    """Write a title over a panel."""
    panel.set_title(text, fontsize=TEXT_SIZE, pad=4)


def label_row(panel: "Axes", text: str, *, width: int = 16) -> None:
    """Write a caption on the left of a panel, upright, in at most two lines of `width` characters."""
    if not text:
        return
    lines = textwrap.wrap(text, width, max_lines=2, placeholder=" …", break_long_words=True)
    panel.text(
        -0.03,
        0.5,
        "\n".join(lines),
        transform=panel.transAxes,
        rotation=90,
        ha="right",
        va="center",
        fontsize=TEXT_SIZE,
        linespacing=1.1,
        parse_math=False,
    )


def check_captions(captions: Sequence[str] | None, images: int) -> Sequence[str]:
    """Return one caption for each image, empty ones when there are none.

    Raises:
        ArgumentError: their number is another than the images'.
    """
    if captions is None:
        return [""] * images
    if isinstance(captions, str) or len(captions) != images:
        raise ArgumentError(f"captions is a list with one text for each of the {images} images; got {captions!r}.")
    return captions


def to_pixels(image: Tensor) -> NDArray[np.float32]:
    """Turn (C, H, W) in [0, 1] to (H, W, 3); one channel is shown grey, more than three by their first three."""
    shown = image[:3] if image.shape[0] >= 3 else image[:1].expand(3, -1, -1)
    pixels: NDArray[np.float32] = shown.detach().float().permute(1, 2, 0).clamp(0, 1).cpu().numpy()
    return pixels
