"""Which patches a score depends on: how it changes when they are hidden."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from maezoo.arguments import whole_number
from maezoo.errors import ArgumentError
from maezoo.images.batches import ImageLikes, look_at
from maezoo.masks.visible import visible_indices
from maezoo.model import PatchedImages, pool_tokens
from maezoo.progress import track
from maezoo.vocabulary import POOLS, Pool

if TYPE_CHECKING:
    from maezoo.api.image_methods import ImageMethods

__all__ = ["patch_occlusion"]


def patch_occlusion(
    model: "ImageMethods",
    images: ImageLikes,
    score: Callable[[Any], Any] | None = None,
    *,
    pool: Pool | None = None,
    block: int = 1,
    step: int | None = None,
    batch_size: int = 32,
    progress: bool = False,
) -> Tensor:
    """Measure how much a score of the features falls when a patch, or a block of patches, is hidden.

    The encoder computes only the patches that are left, as in its training. So no grey or blurred piece is put into the
    image, which the model would take for content. Each image is encoded once for each place of the block, and once as a
    whole: a grid of 14x14 costs 197 passes at `block=1`, and 50 at `block=2`.

    Args:
        model: any model of this package; one with random weights shows nothing.
        images: as in `MAE.encode`.
        score: takes features (n, D), a tensor on the model's device, and returns (n,) or (n, K) numbers, as a tensor or
            an array: a probe's `decision_function`, a torch module. `None` for the cosine between the features of the
            whole image and of what is left: how much a patch matters for the features as such.
        pool: of the features, as in `MAE.features`.
        block: side of the hidden block in patches. Larger ones show more where neighbours tell the same.
        step: patches between two places of the block; `block` when `None`. Where places overlap, a patch has their
            mean.
        batch_size: passes at a time.
        progress: show a bar.

    Returns:
        (B, h, w), or (B, K, h, w) for a score of K numbers, float32 on the CPU: score of the whole image less the score
        without the patch. Above 0 the patch speaks for the score, below 0 against it.

    Raises:
        ArgumentError: an impossible block, step or pool, or a score of another shape.
        ImageError, SizeError: as in `MAE.encode`.

    Example:
        >>> import maezoo
        >>> model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
        >>> patch_occlusion(model, torch.rand(1, 3, 32, 48), block=2).shape
        torch.Size([1, 4, 6])
        >>> patch_occlusion(model, torch.rand(1, 3, 32, 48), lambda x: x[:, :5], pool="mean", block=2).shape
        torch.Size([1, 5, 4, 6])
    """
    chosen = model.pooling if pool is None else pool
    if chosen not in POOLS:
        raise ArgumentError.for_choice("pool", pool, POOLS)
    maps: list[Tensor] = []
    given = look_at(images)
    with torch.no_grad(), track(given.total, "images", show=progress) as advance:
        for batch in model.input_batches(given, 1):
            if len(batch.images):
                maps.append(_occlude(model, batch, score, chosen, _places(batch.grid_size, block, step), batch_size))
            else:
                maps.append(torch.empty(0, *batch.grid_size))
            advance(len(batch.images))
    return torch.cat(maps)


def _occlude(
    model: "ImageMethods",
    batch: PatchedImages,
    score: Callable[[Any], Any] | None,
    pool: Pool,
    masks: Tensor,
    batch_size: int,
) -> Tensor:
    """Return the map of one image under (M, N) masks: (1, h, w) or (1, K, h, w)."""
    prefix = model.num_prefix_tokens
    whole = pool_tokens(model.encode_tokens(batch), pool, prefix)  # (1, D)
    measure = score or (lambda x: F.cosine_similarity(x.float(), whole.float(), dim=1))
    visible = visible_indices(masks).to(batch.images.device)  # (M, K)
    left = []
    for start in range(0, len(visible), batch_size):
        rows = visible[start : start + batch_size]
        images = batch.images.expand(len(rows), -1, -1, -1)
        tokens = model.encode_tokens(PatchedImages(images, model.patch_size), rows)
        left.append(_scores(measure, pool_tokens(tokens, pool, prefix)))
    drop = _scores(measure, whole) - torch.cat(left)  # (M,) or (M, K)
    hidden = masks.float()  # (M, N)
    mean = (hidden.T @ drop.reshape(len(masks), -1)) / hidden.sum(dim=0)[:, None]  # (N, K)
    return mean.T.reshape(1, *drop.shape[1:], *batch.grid_size)


def _scores(measure: Callable[[Any], Any], features: Tensor) -> Tensor:
    """Return the scores of features as float32 on the CPU, (n,) or (n, K)."""
    found = torch.as_tensor(measure(features)).detach().float().cpu()
    if found.ndim not in (1, 2) or len(found) != len(features):
        raise ArgumentError(
            f"score takes features (n, D) and returns (n,) or (n, K) numbers; for {tuple(features.shape)} it returned "
            f"{tuple(found.shape)}.",
            found=tuple(found.shape),
        )
    return found


def _places(grid: tuple[int, int], block: int, step: int | None) -> Tensor:
    """Return a mask for each place of the block, (M, N) bool: all hide the same number, and together every patch."""
    h, w = grid
    for name, value in (("block", block), ("step", block if step is None else step)):
        whole_number(value, name, what="a whole number of patches")
    apart = block if step is None else step
    if block > min(h, w) or block * block >= h * w or apart > block:
        raise ArgumentError(
            f"block={block} and step={apart} do not fit a grid of {h}x{w} patches: the block must leave some of them, "
            "and step is at most block, so that each patch is hidden once at least.",
            found=(block, apart),
        )
    rows, columns = ([*range(0, side - block, apart), side - block] for side in grid)
    masks = torch.zeros(len(rows) * len(columns), h, w, dtype=torch.bool, device="cpu")
    for number, (row, column) in enumerate((row, column) for row in rows for column in columns):
        masks[number, row : row + block, column : column + block] = True
    return masks.flatten(1)
