"""What a mask leaves visible: checked masks, visible patches, rows of one count."""

from typing import NamedTuple

import torch
from torch import Tensor

from maezoo.errors import MaskError

__all__ = ["RowGroup", "check_mask", "group_rows", "visible_indices"]


def check_mask(mask: Tensor, batch: int, patches: int) -> Tensor:
    """Return `mask` as (B, N) bool, a single row repeated for the whole batch.

    Raises:
        MaskError: not a bool tensor of shape (B, N), (1, N) or (N,).
    """
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        kind = str(mask.dtype) if isinstance(mask, Tensor) else type(mask).__name__
        raise MaskError(f"a mask is a torch.bool tensor, True = hidden; got {kind}. Convert it with mask.bool().")
    rows = mask[None] if mask.ndim == 1 else mask
    if rows.ndim != 2 or rows.shape[1] != patches or rows.shape[0] not in (1, batch):
        raise MaskError(
            f"this input needs a mask of shape ({batch}, {patches}), one row per image and one entry per patch; "
            f"got {tuple(mask.shape)}. From pixels: maezoo.mask_from_pixels(pixels, patch_size)."
        )
    return rows.expand(batch, -1)


def visible_indices(mask: Tensor) -> Tensor:
    """List the visible patches of each row, in raster order.

    Args:
        mask: (B, N) bool, True = hidden, the same number hidden in each row.

    Returns:
        (B, K) int64 on the mask's device.

    Raises:
        MaskError: rows hide different numbers of patches.

    Example:
        >>> visible_indices(torch.tensor([[True, False, False], [False, True, False]]))
        tensor([[1, 2],
                [0, 2]])
    """
    counts = (~mask).sum(dim=1)
    if bool((counts != counts[:1]).any()):
        low, high = int(counts.min()), int(counts.max())
        raise MaskError(
            f"each row of a mask must leave the same number of patches visible here; this one leaves {low} to {high}. "
            "Encode the rows apart, or use reconstruct, which takes any mask."
        )
    K = int(counts[0]) if len(counts) else 0
    return mask.byte().argsort(dim=1, stable=True)[:, :K]


class RowGroup(NamedTuple):
    """Rows of a mask that leave the same number of patches visible.

    Attributes:
        rows: (b,) int64, which rows.
        visible: (b, K) int64, their visible patches in raster order.
    """

    rows: Tensor
    visible: Tensor


@torch.compiler.disable  # type: ignore[untyped-decorator]
def group_rows(mask: Tensor) -> list[RowGroup]:
    """Sort the rows of a mask by how many patches they leave visible.

    What comes out depends on the mask's values, so torch.compile breaks its graph here, once.

    Args:
        mask: (B, N) bool, True = hidden.

    Returns:
        At least one group; one alone, with all rows in order, when the rows leave equal numbers visible.

    Example:
        >>> [len(group.rows) for group in group_rows(torch.tensor([[True, False], [False, False], [False, True]]))]
        [2, 1]
    """
    hidden = mask.sum(dim=1)
    counts = sorted(set(hidden.tolist()), reverse=True) or [0]
    rows = [(hidden == count).nonzero().flatten() for count in counts]
    return [RowGroup(each, visible_indices(mask[each])) for each in rows]
