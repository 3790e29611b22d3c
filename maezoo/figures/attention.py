"""Attention of the class token: where each head of each layer looks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from maezoo.api.view import view_of
from maezoo.figures.canvas import check_width, first_input, pictures_of, show_map, show_picture
from maezoo.figures.layout import PanelGrid
from maezoo.images.batches import ImageLikes
from maezoo.model import PatchedImages
from maezoo.model.attention import class_token_attention
from maezoo.model.encoding import block_indices

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from maezoo.api.image_methods import ImageMethods

__all__ = ["class_attention", "plot_attention"]


def class_attention(
    model: "ImageMethods", images: ImageLikes, *, layers: Sequence[int] = (-1,), batch_size: int = 32
) -> list[Tensor]:
    """Return how much the class token attends to each patch.

    Args:
        model: any model of this package.
        images: as in `MAE.encode`.
        layers: block indices from 0; negative ones count from the end.
        batch_size: images at a time.

    Returns:
        One (B, heads, h, w) float32 tensor for each entry of `layers`: softmax weights. Over the grid they
        sum to 1 less what the class token pays to itself.

    Raises:
        LayerError: no such block.
        ImageError, SizeError: as in `MAE.encode`.

    Example:
        >>> import maezoo
        >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        >>> [maps.shape for maps in class_attention(model, torch.zeros(1, 3, 64, 96), layers=(0, -1))]
        [torch.Size([1, 3, 8, 12]), torch.Size([1, 3, 8, 12])]
    """
    parts: list[list[Tensor]] = []
    with torch.no_grad():
        for batch in model.input_batches(images, batch_size):
            found = _batch_attention(model, batch, layers)
            parts.append([weights.reshape(*weights.shape[:2], *batch.grid_size) for weights in found])
    return [torch.cat(maps) for maps in zip(*parts, strict=True)]


def plot_attention(
    model: "ImageMethods", image: ImageLikes, *, layers: Sequence[int] = (-1,), width: float | None = None
) -> "Figure":
    """Draw the class token's attention: one row for each layer, one column for each head, and the mean of the heads.

    Each map has its own colour scale, from its least to its greatest weight.

    Args:
        model: any model of this package.
        image: one image; of several the first is drawn.
        layers: block indices from 0; negative ones count from the end.
        width: of the figure in inches; its height follows.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ArgumentError: no image, or a width that leaves no room for the panels.
        LayerError: no such block.
        ImageError, SizeError: as in `MAE.encode`.

    Example:
        >>> import maezoo
        >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        >>> len(plot_attention(model, torch.zeros(1, 3, 96, 96), layers=(0, 5)).axes)
        10
    """
    check_width(width)
    depth = len(model.encoder.blocks)
    chosen = block_indices(layers, depth)
    inputs = first_input(model, image)
    view = view_of(model.preprocess, None)
    maps = [view.upright(each) for each in class_attention(model, inputs, layers=chosen)]
    h, w = maps[0].shape[-2:]
    heads = maps[0].shape[1]
    grid = PanelGrid(len(chosen), heads + 2, h / w, panel=1.5, width=width)
    for row, (layer, attention) in enumerate(zip(chosen, maps, strict=True)):
        show_picture(grid.axes[row, 0], pictures_of(model, inputs)[0])
        grid.add_caption(row, f"layer {layer}")
        for panel, weights in zip(grid.axes[row, 1:], [attention[0].mean(dim=0), *attention[0]], strict=True):
            show_map(panel, weights)
    grid.add_titles(["image", "mean", *(f"head {head}" for head in range(heads))])
    return grid.fit()


def _batch_attention(model: "ImageMethods", batch: PatchedImages, layers: Sequence[int]) -> list[Tensor]:
    """Return the class token's attention to the patches in chosen layers, each (B, heads, N)."""
    depth = len(model.encoder.blocks)
    found: dict[int, Tensor] = {}

    def keep(index: int) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            found[index] = class_token_attention(module, inputs[0], model.num_prefix_tokens)

        return hook

    wanted = block_indices(layers, depth)
    blocks: Any = model.encoder.blocks
    hooks = [blocks[index].attn.register_forward_pre_hook(keep(index)) for index in set(wanted)]
    try:
        model.block_tokens(batch, wanted, norm=False)
    finally:
        for handle in hooks:
            handle.remove()
    return [found[layer] for layer in wanted]
