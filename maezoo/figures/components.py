"""Principal components of patch tokens: what differs most between the parts of images."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from maezoo.api.view import view_of
from maezoo.errors import ArgumentError
from maezoo.figures.canvas import check_captions, check_width, pictures_of, show_map, show_picture
from maezoo.figures.layout import PanelGrid
from maezoo.images.batches import ImageLikes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from maezoo.api.image_methods import ImageMethods

__all__ = ["patch_components", "plot_components"]

_TAIL = 0.02  # share of the patches whose values are clipped at either end


def patch_components(model: "ImageMethods", images: ImageLikes, *, layer: int = -1) -> Tensor:
    """Return the first three principal components of patch tokens, as red, green and blue.

    The components are those of all the images together, so one colour means one thing in all of them. Signs are fixed
    by the largest entry of each direction, so two calls give the same picture.

    Args:
        model: any model of this package.
        images: as in `MAE.encode`.
        layer: block index; negative ones count from the end.

    Returns:
        (B, 3, h, w) float32, each component scaled to [0, 1].

    Raises:
        ArgumentError: no image.
        LayerError: no such block.
        ImageError, SizeError: as in `MAE.encode`.

    Example:
        >>> import maezoo
        >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        >>> patch_components(model, torch.rand(2, 3, 64, 96)).shape
        torch.Size([2, 3, 8, 12])
    """
    (maps,) = model.feature_maps(images, layers=(layer,))
    B, _, h, w = maps.shape
    if not B:
        raise ArgumentError("there is no image to take components of; pass at least one.")
    tokens = maps.float().permute(0, 2, 3, 1).flatten(0, 2)  # (B*N, D)
    tokens = tokens - tokens.mean(dim=0)
    _, _, directions = torch.linalg.svd(tokens, full_matrices=False)
    directions = _at_least_three(directions)
    largest = directions.gather(1, directions.abs().argmax(dim=1, keepdim=True))
    values: Tensor = tokens @ (directions * largest.sign()).T  # (B*N, 3)
    low, high = values.quantile(values.new_tensor([_TAIL, 1 - _TAIL]), dim=0)
    scaled: Tensor = ((values - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
    return scaled.reshape(B, h, w, 3).permute(0, 3, 1, 2)  # (B, 3, h, w)


def plot_components(
    model: "ImageMethods",
    images: ImageLikes,
    *,
    layer: int = -1,
    captions: Sequence[str] | None = None,
    width: float | None = None,
) -> "Figure":
    """Draw images, their three principal components as RGB, and each component alone for those who see colours less.

    Args:
        model: any model of this package.
        images: as in `MAE.encode`.
        layer: block index; negative ones count from the end.
        captions: one text for each image, written on its left.
        width: of the figure in inches; its height follows.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ArgumentError: no image, or another number of captions.
        LayerError, ImageError, SizeError: as in `patch_components`.

    Example:
        >>> import maezoo
        >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        >>> len(plot_components(model, torch.rand(2, 3, 96, 96)).axes)
        10
    """
    check_width(width)
    inputs = model.prepare(images)
    captions = check_captions(captions, len(inputs))
    components = view_of(model.preprocess, None).upright(patch_components(model, inputs, layer=layer))
    h, w = components.shape[-2:]
    grid = PanelGrid(len(inputs), 5, h / w, width=width)
    for row, caption in enumerate(captions):
        show_picture(grid.axes[row, 0], pictures_of(model, inputs[row : row + 1])[0])
        grid.add_caption(row, caption)
        show_picture(grid.axes[row, 1], components[row])
        for panel, component in zip(grid.axes[row, 2:], components[row], strict=True):
            show_map(panel, component, (0, 1), colours="cividis")
    grid.add_titles(["image", "first three as RGB", "first", "second", "third"])
    return grid.fit()


def _at_least_three(directions: Tensor) -> Tensor:
    """Return the first three rows, zeros where there are fewer (an image of one or two patches)."""
    missing = max(0, 3 - len(directions))
    return torch.cat([directions[:3], directions.new_zeros(missing, directions.shape[1])])
