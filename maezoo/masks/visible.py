"""What a mask leaves visible: checked masks, visible patches, rows of one count."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from maezoo.errors import MaskError

__all__ = [
    "RowGroup",
    "check_mask",
    "group_rows",
    "traced_indices",
    "visible_indices",
]


def check_mask(mask: Tensor, batch: int | None, patches: int) -> Tensor:
    """Return `mask` as (B, N) bool, a single row repeated for the whole batch.

    Where the number of images is not known yet (`batch` is `None`), the rows come back as they are.

    Raises:
        MaskError: not a bool tensor of shape (B, N), (1, N) or (N,).
    """
    if not isinstance(mask, Tensor):
        raise MaskError(
            f"a mask is a torch.bool tensor, True = hidden; got {type(mask).__name__}. "
            "Convert it with torch.as_tensor(mask, dtype=torch.bool)."
        )
    if mask.dtype != torch.bool:
        raise MaskError(
            f"a mask is a torch.bool tensor, True = hidden; got {mask.dtype}. Convert it with mask.bool().",
            found=mask.dtype,
        )
    rows = mask[None] if mask.ndim == 1 else mask
    if rows.ndim != 2 or rows.shape[1] != patches or (batch is not None and rows.shape[0] not in (1, batch)):
        raise MaskError(
            f"this input needs a mask of shape ({'B' if batch is None else batch}, {patches}), one row per image and "
            f"one entry per patch; got {tuple(mask.shape)}. From pixels: maezoo.mask_from_pixels(pixels, patch_size).",
            expected=(batch, patches),
            found=tuple(mask.shape),
        )
    return rows if batch is None else rows.expand(batch, -1)


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
            "Encode the rows apart, or use reconstruct, which takes any mask.",
            found=(low, high),
        )
    K = int(counts[0]) if len(counts) else 0
    return mask.byte().argsort(dim=1, stable=True)[:, :K]


def traced_indices(mask: Tensor) -> Tensor | None:
    """List the visible patches where a mask's values cannot be looked at: under `torch.export`, `vmap` and the like.

    Its rows are then taken to leave one number of patches visible; an exported program checks it when it runs.

    Args:
        mask: (B, N) bool, True = hidden.

    Returns:
        (B, K) int64, as `visible_indices` gives them; `None` where the mask can be looked at.
    """
    if not torch.compiler.is_exporting():
        looked_at = torch.compiler.is_compiling() or not torch._C._functorch.is_functorch_wrapped_tensor(mask)
        return None if looked_at else _transform_rule()(mask)
    counts = (~mask).sum(dim=1)
    torch._assert_async((counts == counts[:1]).all(), "each row of the mask must leave the same number visible")
    visible: Any = counts[0].item()  # a symbol
    torch._check(visible >= 0)
    torch._check(visible <= mask.shape[1])
    return mask.byte().argsort(dim=1, stable=True)[:, :visible]


@functools.lru_cache(maxsize=1)
def _transform_rule() -> Callable[[Tensor], Tensor]:
    """Return `visible_indices` as an operator that `torch.func`'s transforms see through."""

    @torch.library.custom_op("maezoo::visible_indices", mutates_args=())
    def operator(mask: Tensor) -> Tensor:
        return visible_indices(mask)

    @operator.register_vmap
    def _(info: Any, in_dims: tuple[int, ...], mask: Tensor) -> tuple[Tensor, int]:
        rows = mask.movedim(in_dims[0], 0)  # (V, B, N)
        return operator(rows.flatten(0, 1)).unflatten(0, rows.shape[:2]), 0  # (V, B, K)

    return operator


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
