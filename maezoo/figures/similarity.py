"""Similarity of patches: which parts of an image look similar to a chosen one for the model."""

from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional as F

from maezoo.api.view import view_of
from maezoo.arguments import is_whole
from maezoo.errors import ArgumentError, SizeError
from maezoo.figures.canvas import check_width, first_input, pictures_of, show_map, show_picture
from maezoo.figures.layout import PanelGrid
from maezoo.images.batches import ImageLikes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from maezoo.api.image_methods import ImageMethods

__all__ = ["patch_similarity", "plot_similarity"]


def patch_similarity(
    model: "ImageMethods", images: ImageLikes, patch: tuple[int, int], *, layer: int = -1, centred: bool = True
) -> Tensor:
    """Return the cosine between one patch's token and every other's.

    Args:
        model: any model of this package.
        images: as in `MAE.encode`.
        patch: (row, column) in the patch grid.
        layer: block index; negative ones count from the end.
        centred: subtract the image's mean token first, without which all tokens of an MAE look alike.

    Returns:
        (B, h, w) float32 in [-1, 1]; 1 at the patch itself.

    Raises:
        SizeError: the patch lies outside the grid.
        LayerError: no such block.
        ImageError: as in `MAE.encode`.

    Example:
        >>> import maezoo, torch
        >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        >>> patch_similarity(model, torch.rand(1, 3, 64, 96), (2, 5)).shape
        torch.Size([1, 8, 12])
    """
    (maps,) = model.feature_maps(images, layers=(layer,))
    maps = maps.float()  # (B, D, h, w)
    row, column = _check_patch(patch, (maps.shape[2], maps.shape[3]))
    if centred:
        maps = maps - maps.mean(dim=(2, 3), keepdim=True)
    return F.cosine_similarity(maps, maps[:, :, row, column, None, None], dim=1)


def plot_similarity(
    model: "ImageMethods",
    image: ImageLikes,
    patches: "list[tuple[int, int]]",
    *,
    layer: int = -1,
    centred: bool = True,
    width: float | None = None,
) -> "Figure":
    """Draw an image and, for each chosen patch, its similarity to all others. The patch is framed.

    Args:
        model: any model of this package.
        image: one image; of several the first is drawn.
        patches: (row, column) of each patch.
        layer: block index; negative ones count from the end.
        centred: as in `patch_similarity`.
        width: of the figure in inches; its height follows.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ArgumentError: no image, no patch, or a width that leaves no room for the panels.
        SizeError, LayerError, ImageError: as in `patch_similarity`.

    Example:
        >>> import maezoo, torch
        >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        >>> len(plot_similarity(model, torch.zeros(1, 3, 96, 96), [(0, 0), (5, 5)]).axes)
        4
    """
    if not patches:
        raise ArgumentError("patches is a list of (row, column), at least one.")
    check_width(width)
    inputs = first_input(model, image)
    view, shown = view_of(model.preprocess, None), pictures_of(model, inputs)[0]
    H, W = shown.shape[-2:]
    grid = PanelGrid(1, len(patches) + 1, H / W, panel=2.4, width=width)
    picture, *panels = grid.axes[0]
    show_picture(picture, shown)
    drawn = None
    for panel, patch in zip(panels, patches, strict=True):
        similar = patch_similarity(model, inputs, patch, layer=layer, centred=centred)[0]
        drawn = show_map(panel, view.upright(similar), (-1, 1))
        chosen = similar.new_zeros(similar.shape)
        chosen[patch] = 1
        place = divmod(int(view.upright(chosen).argmax()), W // model.patch_size)  # of the patch as it is shown
        _frame(panel, place, 1)
        _frame(picture, place, model.patch_size)
    grid.add_titles(["image", *(f"row {row}, column {column}" for row, column in patches)])
    grid.add_bar(drawn, "cosine")
    return grid.fit()


def _frame(panel: "Axes", patch: tuple[int, int], side: int) -> None:
    """Frame a patch that is `side` units wide, in white on black, so that it shows on any colour."""
    from matplotlib.patches import Rectangle

    corner = (patch[1] * side - 0.5, patch[0] * side - 0.5)
    for colour, width in (("black", 3.5), ("white", 1.6)):
        panel.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=colour, linewidth=width))


def _check_patch(patch: tuple[int, int], grid: tuple[int, int]) -> tuple[int, int]:
    """Refuse a patch outside the grid."""
    if not isinstance(patch, tuple | list) or len(patch) != 2 or not all(is_whole(place, -(2**63)) for place in patch):
        raise SizeError(f"a patch is named (row, column), such as (0, 0); got {patch!r}.", found=patch)
    row, column = patch
    if not (0 <= row < grid[0] and 0 <= column < grid[1]):
        raise SizeError(f"patch {tuple(patch)} lies outside the grid of {grid[0]} rows and {grid[1]} columns.")
    return row, column
