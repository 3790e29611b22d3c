"""Grids of reconstructions: one row for each image."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from torch import Tensor

from maezoo.api.reconstruction import Reconstruction
from maezoo.api.whole_image import WholeReconstruction
from maezoo.arguments import listed
from maezoo.errors import ArgumentError, MaskError
from maezoo.figures.canvas import ERROR_COLOURS, check_captions, show_map, show_picture, text_of
from maezoo.figures.layout import PanelGrid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["RECONSTRUCTION_COLUMNS", "WHOLE_COLUMNS", "error_grid", "plot_reconstruction", "plot_whole"]

_LEAK = " (true colours)"
_CUT = 0.985  # share of the errors inside the colour scale
RECONSTRUCTION_COLUMNS = ("original", "masked", "reconstruction", "pasted", "error")
WHOLE_COLUMNS = ("original", "predicted", "error")


def plot_reconstruction(
    reconstructions: Reconstruction | Sequence[Reconstruction],
    *,
    captions: Sequence[str] | None = None,
    columns: Sequence[str] = RECONSTRUCTION_COLUMNS,
    titles: Sequence[str] | None = None,
    width: float | None = None,
) -> "Figure":
    """Draw original | masked | reconstruction | pasted | error of each image.

    The error panel shows hidden patches; those that the model saw are grey. One colour scale serves all rows. A model
    that predicts normalised patches is marked "true colours": they were taken from the input.

    Args:
        reconstructions: of any number of images, at least one; several, of one model or of several, stand under each
            other.
        captions: one text for each image, written on its left.
        columns: which of `"original"`, `"masked"`, `"reconstruction"`, `"pasted"`, `"error"`, in this order.
        titles: one text for each column, instead of these words.
        width: of the figure in inches; its height follows. Fonts and their sizes are matplotlib's settings.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ArgumentError: no image, another number of captions or titles, an unknown column, a width that leaves no room
            for the panels, or errors of different units.

    Example:
        >>> import maezoo, torch
        >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        >>> result = model.reconstruct(torch.zeros(2, 3, 64, 96))
        >>> len(plot_reconstruction(result, captions=["a", "b"]).axes)
        11
        >>> float(plot_reconstruction(result, columns=("original", "pasted"), width=3.3).get_figwidth())
        3.3
    """
    parts = [reconstructions] if isinstance(reconstructions, Reconstruction) else list(reconstructions)
    rows: list[_Row] = []
    for part in parts:
        grid = error_grid(part)
        errors = part.error.masked_fill(~part.mask, 0).reshape(-1, *grid)
        absent = ~part.mask.reshape(-1, *grid)
        for i in range(len(part)):
            made = [each[i] for each in (part.masked, part.predicted, part.pixels)]
            hidden = (made[0] != part.original[i]).any(dim=0)  # (H, W)
            pictures = part.view.pictures(part.original[i], made, hidden)
            error, unhidden = part.view.upright(errors[i]), part.view.upright(absent[i])
            rows.append((dict(zip(RECONSTRUCTION_COLUMNS, pictures, strict=False)), error, unhidden))
    units = sorted({part.unit for part in parts})
    leak = any(part.uses_input_statistics for part in parts)
    words = {"reconstruction": f"reconstruction{_LEAK}"} if leak else {}
    return _draw_rows(rows, units, captions, _Columns(columns, titles, RECONSTRUCTION_COLUMNS, words), width)


def plot_whole(
    whole: WholeReconstruction,
    *,
    captions: Sequence[str] | None = None,
    columns: Sequence[str] = WHOLE_COLUMNS,
    titles: Sequence[str] | None = None,
    width: float | None = None,
) -> "Figure":
    """Draw original | mean prediction | error map of images of which every patch was predicted.

    Args:
        whole: what `maezoo.reconstruct_all` gives.
        captions: one text for each image, written on its left.
        columns: which of `"original"`, `"predicted"`, `"error"`, in this order.
        titles: one text for each column, instead of these words.
        width: of the figure in inches; its height follows.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ArgumentError: no image, another number of captions or titles, an unknown column, or a width that leaves no room
            for the panels.

    Example:
        >>> import maezoo, torch
        >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        >>> len(plot_whole(maezoo.reconstruct_all(model, torch.zeros(1, 3, 96, 96))).axes)
        4
    """
    rows: list[_Row] = [
        (
            dict(zip(WHOLE_COLUMNS, whole.view.pictures(original, (pixels,)), strict=False)),
            whole.view.upright(errors),
            None,
        )
        for original, pixels, errors in zip(whole.original, whole.pixels, whole.error_map, strict=True)
    ]
    words = {"predicted": f"all predicted{_LEAK if whole.uses_input_statistics else ''}"}
    return _draw_rows(rows, [whole.unit], captions, _Columns(columns, titles, WHOLE_COLUMNS, words), width)


def error_grid(reconstruction: Reconstruction) -> tuple[int, int]:
    """Return the patch grid (h, w) of a reconstruction, from its pixels and its number of patches.

    Raises:
        MaskError: the pictures are no whole number of square patches.
    """
    H, W = reconstruction.original.shape[-2:]
    patches = reconstruction.mask.shape[1]
    side = math.isqrt(H * W // max(1, patches))
    if side == 0 or H % side or W % side or (H // side) * (W // side) != patches:
        raise MaskError(
            f"{H}x{W} pixels cannot be cut into {patches} square patches; reconstruct() gives fitting ones."
        )
    return H // side, W // side


_Row: TypeAlias = tuple[dict[str, Tensor], Tensor, Tensor | None]  # pictures, errors (h, w), cells without one


class _Columns:
    """Which columns a figure has, and what stands over them."""

    def __init__(
        self, chosen: Sequence[str], titles: Sequence[str] | None, allowed: Sequence[str], words: dict[str, str]
    ) -> None:
        self.names: list[str] = listed(chosen, "columns", ", ".join(map(repr, allowed)))
        for name in self.names:
            if name not in allowed:
                raise ArgumentError.for_choice("columns", name, allowed)
        own = [text_of(words.get(name, name)) for name in self.names]
        self.titles = own if titles is None else check_captions(titles, len(own), "titles")


def _draw_rows(
    rows: "list[_Row]", units: list[str], captions: Sequence[str] | None, columns: _Columns, width: float | None
) -> "Figure":
    """Draw one row for each image: pictures and error map; one colour scale for all errors."""
    captions = check_captions(captions, _at_least_one(len(rows)))
    with_error = "error" in columns.names
    if with_error and len(units) > 1:
        raise ArgumentError(f"errors of {' and '.join(units)} have no common scale; leave 'error' out of columns.")
    H, W = rows[0][0]["original"].shape[-2:]
    grid = PanelGrid(len(rows), len(columns.names), H / W, width=width)
    limits = (0.0, _upper_limit([errors for _, errors, _ in rows]))
    drawn = None
    for row, (pictures, errors, absent) in enumerate(rows):
        for panel, name in zip(grid.axes[row], columns.names, strict=True):
            if name == "error":
                drawn = show_map(panel, errors, limits, colours=ERROR_COLOURS, absent=absent)
            else:
                show_picture(panel, pictures[name])
        grid.add_caption(row, captions[row])
    grid.add_titles(columns.titles)
    if with_error:
        grid.add_bar(drawn, "squared error", extend="max")
    return grid.fit()


def _upper_limit(errors: list[Tensor]) -> float:
    """Return the value of the lightest colour: above it lie a few outliers, which would leave all else black."""
    values = np.concatenate([each.float().cpu().numpy().ravel() for each in errors])
    found = values[values > 0]
    return float(np.quantile(found, _CUT)) if len(found) else 1.0


def _at_least_one(images: int) -> int:
    """Refuse an empty figure."""
    if images == 0:
        raise ArgumentError("there is no image to draw; reconstruct at least one.")
    return images
