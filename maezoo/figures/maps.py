"""Any map of patches over its picture."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from maezoo.api.view import View, view_of
from maezoo.errors import ArgumentError, ImageError
from maezoo.figures.canvas import (
    MAP_COLOURS,
    SIGNED_COLOURS,
    check_captions,
    check_width,
    pictures_of,
    show_map,
    show_picture,
    text_of,
    to_pixels,
)
from maezoo.figures.layout import PanelGrid
from maezoo.images.batches import ImageLikes
from maezoo.images.decoding import open_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from maezoo.api.image_methods import ImageMethods

__all__ = ["plot_map"]

_OPACITY = (0.1, 0.85)  # of the least and the greatest value
_SQUARE = 0.1  # how far the patches of a map may be from squares


def plot_map(
    image: ImageLikes,
    values: Any,
    *,
    model: "ImageMethods | None" = None,
    label: str = "",
    limits: tuple[float, float] | None = None,
    colours: str | None = None,
    captions: Sequence[str] | None = None,
    width: float | None = None,
) -> "Figure":
    """Draw a map of patches over its picture: the picture, the map, and both.

    Values of both signs get two colours, orange above zero and purple below, with the same scale on both sides; others
    go from dark to light. One scale serves all rows. In the last panel, what is near zero, or near the least value, is
    nearly transparent.

    Args:
        image: the picture, or a list of them: an image-like as in `MAE.encode`; or, without `model`, a float tensor
            (C, H, W) or (B, C, H, W) in [0, 1], such as the `original` of a reconstruction.
        values: (h, w) numbers, or (B, h, w) for B pictures; a tensor, an array or lists. With `model`, (N,) or (B, N)
            as well. NaN is left grey.
        model: whose patches these are. The picture is then drawn as this model sees it, cropped and resized, so that
            the map lies in its place. Without it the map is laid over all of the picture.
        label: of the colour bar.
        limits: values of the first and the last colour.
        colours: name of a matplotlib colour map.
        captions: one text for each picture.
        width: of the figure in inches; its height follows.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ArgumentError: the map has another shape than the picture's patches, or has no finite value; or an argument of
            another kind.
        ImageError: a picture that cannot be read.

    Example:
        >>> import maezoo
        >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        >>> len(plot_map(torch.rand(3, 64, 96), torch.randn(8, 12), label="part of the logit").axes)
        4
    """
    check_width(width)
    view = View() if model is None else view_of(model.preprocess, None)
    pictures, grid_size = _pictures(image, model)
    maps = [view.upright(each) for each in _maps(values, pictures, grid_size)]
    captions = check_captions(captions, len(pictures))
    finite = torch.cat([each[torch.isfinite(each)] for each in maps])
    if not len(finite):
        raise ArgumentError("the map has no finite value to draw.")
    signed = bool(finite.min() < 0 < finite.max()) if limits is None else limits[0] < 0 < limits[1]
    if limits is None:
        most = finite.abs().max().item()
        limits = (-most, most) if signed else (finite.min().item(), finite.max().item())
    colours = colours or (SIGNED_COLOURS if signed else MAP_COLOURS)
    H, W = pictures[0].shape[-2:]
    grid = PanelGrid(len(pictures), 3, H / W, panel=2.4, width=width)
    drawn = None
    for row, (picture, each) in enumerate(zip(pictures, maps, strict=True)):
        show_picture(grid.axes[row, 0], picture)
        drawn = show_map(grid.axes[row, 1], each, limits, colours=colours, absent=~torch.isfinite(each))
        _overlay(grid.axes[row, 2], picture, each, limits, colours, signed)
        grid.add_caption(row, captions[row])
    grid.add_titles(["picture", "map", "both"])
    grid.add_bar(drawn, text_of(label))
    return grid.fit()


def _overlay(
    panel: "Axes", picture: Tensor, values: Tensor, limits: tuple[float, float], colours: str, signed: bool
) -> None:
    """Lay a map over the grey picture: the less there is, the more of the picture is seen."""
    grey = to_pixels(picture).mean(axis=2)
    h, w = grey.shape
    panel.imshow(grey, cmap="gray", vmin=0, vmax=1, interpolation="nearest", extent=(0, w, h, 0))
    shown = np.ma.masked_invalid(values.numpy())
    least = 0.0 if signed else limits[0]
    most = max(abs(limits[0]), abs(limits[1])) if signed else limits[1] - limits[0]
    strength = np.abs(shown.filled(least) - least) / (most or 1)
    low, high = _OPACITY
    panel.imshow(
        shown,
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        alpha=low + (high - low) * np.clip(strength, 0, 1),
        interpolation="nearest",
        extent=(0, w, h, 0),
        aspect="equal",
    )


def _pictures(image: ImageLikes, model: "ImageMethods | None") -> tuple[list[Tensor], tuple[int, int] | None]:
    """Return the pictures to draw, each (C, H, W) in [0, 1], and the grid of a model's patches (h, w)."""
    grid = None
    if model is not None:
        inputs = model.prepare(image)
        grid = model.grid_for(inputs) if len(inputs) else None
        found = [each.cpu() for each in pictures_of(model, inputs)]
    elif isinstance(image, Tensor) and image.is_floating_point():
        batch = image[None] if image.ndim == 3 else image
        if batch.ndim != 4:
            raise ImageError(f"a picture is (C, H, W) or (B, C, H, W); got {tuple(image.shape)}.")
        if bool(((batch < -1e-3) | (batch > 1 + 1e-3)).any()):
            raise ImageError("a float tensor is a picture in [0, 1]; for normalised input pass model= as well.")
        found = list(batch.cpu())
    else:
        items = list(image) if isinstance(image, list | tuple) else [image]
        found = []
        for item in items:
            rgb = np.array(open_image(item).convert("RGB"), np.float32) / 255  # type: ignore[arg-type]
            found.append(torch.from_numpy(rgb).permute(2, 0, 1))
    if not found:
        raise ArgumentError("there is no image to draw; pass at least one.")
    return found, grid


def _maps(values: Any, pictures: list[Tensor], grid: tuple[int, int] | None) -> list[Tensor]:
    """Return one (h, w) float32 map for each picture."""
    found = values.detach().cpu() if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values, np.float64))
    found, B = found.float(), len(pictures)
    if grid and found.ndim in (1, 2) and found.shape[-1] == grid[0] * grid[1] and tuple(found.shape) != grid:
        found = found.reshape(*found.shape[:-1], *grid)
    if found.ndim == 2:
        found = found[None]
    if found.ndim != 3 or len(found) != B or not found.numel() or (grid and tuple(found.shape[1:]) != grid):
        allowed = "(h, w)" if grid is None else str(grid)
        raise ArgumentError(
            f"a map has the shape {allowed}, one row for each row of patches, and with {B} pictures one map each; got "
            f"{tuple(np.shape(values))}. Several logits are maps of their own: pass values[:, k].",
            expected=grid,
            found=tuple(np.shape(values)),
        )
    h, w = found.shape[1:]
    for picture in pictures if grid is None else []:
        H, W = picture.shape[-2:]
        if abs((H / h) / (W / w) - 1) > _SQUARE:
            raise ArgumentError(
                f"a map of {h}x{w} patches does not lie over a picture of {H}x{W} pixels: its patches would not be "
                "square. Pass model=, and the picture is cropped as the model sees it.",
                expected=(H, W),
                found=(h, w),
            )
    return list(found)
