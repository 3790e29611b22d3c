"""Grids of reconstructions: one row for each image."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from maezoo.api.reconstruction import Reconstruction
from maezoo.api.whole_image import WholeReconstruction
from maezoo.errors import ArgumentError, MaskError
from maezoo.figures.canvas import (
    BAR,
    ERROR_COLOURS,
    add_colour_bar,
    check_captions,
    grid_of_panels,
    label_row,
    show_map,
    show_picture,
    title_column,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["error_grid", "plot_reconstruction", "plot_whole"]

_LEAK = " (true colours)"
_CUT = 0.985  # share of the errors inside the colour scale


def plot_reconstruction(reconstruction: Reconstruction, *, captions: Sequence[str] | None = None) -> "Figure":
    """Draw original | masked | reconstruction | pasted | error of each image.

    The error panel shows hidden patches; those that the model saw are grey. One colour scale serves all rows. A model
    that predicts normalised patches is marked "true colours": they were taken from the input.

    Args:
        reconstruction: of any number of images, at least one.
        captions: one text for each image, written on its left.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ArgumentError: no image, or another number of captions.

    Example:
        >>> import maezoo, torch
        >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        >>> figure = plot_reconstruction(model.reconstruct(torch.zeros(2, 3, 64, 96)), captions=["a", "b"])
        >>> len(figure.axes)
        11
    """
    captions = check_captions(captions, _at_least_one(len(reconstruction)))
    pictures = {
        "original": reconstruction.original,
        "masked": reconstruction.masked,
        "reconstruction" + (_LEAK if reconstruction.uses_input_statistics else ""): reconstruction.predicted,
        "pasted": reconstruction.pixels,
    }
    grid = error_grid(reconstruction)
    hidden = reconstruction.error.masked_fill(~reconstruction.mask, 0)
    return _draw_rows(pictures, hidden.reshape(-1, *grid), captions, ~reconstruction.mask.reshape(-1, *grid))


def plot_whole(whole: WholeReconstruction, *, captions: Sequence[str] | None = None) -> "Figure":
    """Draw original | mean prediction | error map of images of which every patch was predicted.

    Args:
        whole: what `maezoo.reconstruct_all` gives.
        captions: one text for each image, written on its left.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ArgumentError: no image, or another number of captions.

    Example:
        >>> import maezoo, torch
        >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        >>> len(plot_whole(maezoo.reconstruct_all(model, torch.zeros(1, 3, 96, 96))).axes)
        4
    """
    captions = check_captions(captions, _at_least_one(len(whole)))
    leak = _LEAK if whole.uses_input_statistics else ""
    return _draw_rows({"original": whole.original, f"all predicted{leak}": whole.pixels}, whole.error_map, captions)


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


def _draw_rows(
    pictures: dict[str, Tensor], errors: Tensor, captions: Sequence[str], absent: Tensor | None = None
) -> "Figure":
    """Draw one row for each image: its pictures, then its error map (B, h, w) with `absent` cells grey."""
    H, W = errors.shape[-2:]
    figure, axes = grid_of_panels(len(errors), len(pictures) + 1, H / W, margin=BAR + 0.3)
    limits = (0.0, _upper_limit(errors))
    drawn = None
    for row, caption in enumerate(captions):
        for panel, images in zip(axes[row], pictures.values(), strict=False):
            show_picture(panel, images[row])
        gone = None if absent is None else absent[row]
        drawn = show_map(axes[row, -1], errors[row], limits, colours=ERROR_COLOURS, absent=gone)
        label_row(axes[row, 0], caption)
    for panel, title in zip(axes[0], [*pictures, "error"], strict=True):
        title_column(panel, title)
    add_colour_bar(figure, drawn, list(axes[:, -1]), "squared error", extend="max")
    return figure


def _upper_limit(errors: Tensor) -> float:
    """Return the value of the lightest colour: above it lie a few outliers, which would leave all else black."""
    found = errors[errors > 0].float()
    return float(np.quantile(found.cpu().numpy(), _CUT)) if len(found) else 1.0


def _at_least_one(images: int) -> int:
    """Refuse an empty figure."""
    if images == 0:
        raise ArgumentError("there is no image to draw; reconstruct at least one.")
    return images
