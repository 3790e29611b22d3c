"""What all figures share: an empty figure, pictures, maps, colours. matplotlib is imported with the first figure.

Fonts and their sizes are those of matplotlib's settings (`rcParams`).
"""

from collections.abc import Sequence, Sized
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from maezoo.api.view import view_of
from maezoo.arguments import is_number
from maezoo.errors import ArgumentError, MissingExtraError
from maezoo.images.batches import ImageLikes, denormalise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from maezoo.api.image_methods import ImageMethods

__all__ = [
    "ERROR_COLOURS",
    "MAP_COLOURS",
    "SIGNED_COLOURS",
    "check_captions",
    "check_width",
    "encode_figure",
    "first_input",
    "new_figure",
    "pictures_of",
    "show_map",
    "show_picture",
    "text_of",
    "to_pixels",
]

_DOTS_PER_INCH = 120  # where the user's settings do not say another number than matplotlib's
_WIDTHS = (0.5, 100.0)  # inches
ERROR_COLOURS = "magma"  # perceptually even, and read by the colour-blind, as are viridis and cividis
MAP_COLOURS = "viridis"
SIGNED_COLOURS = "PuOr_r"  # orange above zero, purple below
_SEEN_COLOUR = "#d9d9d9"
_TEX = str.maketrans({letter: f"\\{letter}" for letter in "%$_#&{}"} | {"\\": r"\textbackslash{}"})


def new_figure(width: float, height: float) -> "Figure":
    """Make an empty figure of a size in inches. It belongs to no window; a notebook shows it.

    Raises:
        MissingExtraError: matplotlib is not installed; the message has the install command.
    """
    try:
        from matplotlib import rcParams, rcParamsDefault
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        from maezoo.figures.notebook import ShownFigure
    except ImportError as error:
        raise MissingExtraError.for_extra("figures", "drawing figures") from error
    chosen = rcParams["figure.dpi"]
    dpi = _DOTS_PER_INCH if chosen == rcParamsDefault["figure.dpi"] else chosen
    figure = ShownFigure(figsize=(width, height), dpi=dpi)
    figure.set_layout_engine("none")  # whatever the settings say: parts have places of their own
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


def pictures_of(model: "ImageMethods", inputs: Tensor) -> list[Tensor]:
    """Return what a model sees, (B, C, H, W) normalised, as pictures (1 or 3, H, W) in [0, 1], as `View` shows them."""
    view = view_of(model.preprocess, None)
    return [view.pictures(each)[0] for each in denormalise(inputs, model.preprocess)]


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
    panel.set_facecolor(_SEEN_COLOUR)
    panel.set_axis_on()
    panel.set(xticks=[], yticks=[])
    for edge in panel.spines.values():
        edge.set_visible(False)
    return panel.imshow(shown, cmap=colours, vmin=low, vmax=high, interpolation="nearest", aspect="equal")


def check_captions(captions: Sequence[str] | None, images: int, name: str = "captions") -> Sequence[str]:
    """Return one caption for each image, empty ones when there are none.

    Raises:
        ArgumentError: their number is another than the images'.
    """
    if captions is None:
        return [""] * images
    if isinstance(captions, str) or not isinstance(captions, Sized) or len(captions) != images:
        what = "images" if name == "captions" else "columns"
        raise ArgumentError(f"{name} is a list with one text for each of the {images} {what}; got {captions!r}.")
    return [str(caption) for caption in captions]


def first_input(model: "ImageMethods", images: ImageLikes) -> Tensor:
    """Return the first of some images as model input, (1, C, H, W).

    Raises:
        ArgumentError: there is none.
    """
    inputs = model.prepare(images)[:1]
    if not len(inputs):
        raise ArgumentError("there is no image to draw; pass at least one.")
    return inputs


def check_width(width: float | None) -> None:
    """Refuse a width that is no sensible number of inches.

    Raises:
        ArgumentError: it lies outside 0.5 to 100.
    """
    low, high = _WIDTHS
    if width is not None and not is_number(width, low, high):
        raise ArgumentError(f"width is in inches, {low} to {high:g}; got {width!r}.", found=width)


def text_of(words: str) -> str:
    """Return plain words as matplotlib takes them: where LaTeX sets the text, its special letters are escaped."""
    try:
        from matplotlib import rcParams
    except ImportError as error:
        raise MissingExtraError.for_extra("figures", "drawing figures") from error
    return words.translate(_TEX) if rcParams["text.usetex"] else words


def to_pixels(image: Tensor) -> NDArray[np.float32]:
    """Turn (C, H, W) in [0, 1] to (H, W, 3); one channel is shown grey, more than three by their first three."""
    shown = image[:3] if image.shape[0] >= 3 else image[:1].expand(3, -1, -1)
    pixels: NDArray[np.float32] = shown.detach().float().permute(1, 2, 0).clamp(0, 1).cpu().numpy()
    return pixels
