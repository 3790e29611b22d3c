"""The rows of masks, handed out in the order of the images: drawn as they are needed, or of a given mask."""

from typing import Protocol

from torch import Tensor

from maezoo.errors import MaskError
from maezoo.masks.draw import generator_for
from maezoo.masks.strategies import draw_mask
from maezoo.masks.visible import check_mask, visible_indices

__all__ = ["DrawnRows", "GivenRows", "MaskRows"]


class MaskRows(Protocol):
    """Rows of a mask, handed out in order."""

    def take(self, count: int, grid_size: tuple[int, int]) -> Tensor:
        """Return the rows of the next images, (count, ...)."""
        ...

    def check_end(self) -> None:
        """Make sure that the last image had the last row."""
        ...


class DrawnRows:
    """The rows of one draw, drawn as they are needed.

    Args:
        strategy: `"random"`, `"block"`, `"grid"` or `"cells"`.
        ratio: share of patches to hide, in [0, 1].
        seed: of the draw.

    Example:
        >>> import torch
        >>> rows = DrawnRows("random", 0.75, 0)
        >>> together = DrawnRows("random", 0.75, 0).take(3, (4, 4))
        >>> torch.equal(torch.cat([rows.take(2, (4, 4)), rows.take(1, (4, 4))]), together)
        True
    """

    def __init__(self, strategy: str, ratio: float, seed: int) -> None:
        self._strategy, self._ratio = strategy, ratio
        self._generator = generator_for(seed)

    def take(self, count: int, grid_size: tuple[int, int]) -> Tensor:
        """Draw the rows of the next images, (count, N) bool.

        Raises:
            MaskError: an unknown strategy or a ratio outside [0, 1].
        """
        return draw_mask(self._strategy, count, grid_size, self._ratio, generator=self._generator)

    def check_end(self) -> None:
        """Do nothing: there is no last row."""


class GivenRows:
    """The rows of a given mask. It is checked once, when the first images tell their patch grid.

    Args:
        mask: (B, N), or (1, N) or (N,) for all images alike.
        images: how many there are; `None` when only their end will tell.
        visible: hand out the indices of the visible patches, (B, K), instead of the mask's own rows.

    Example:
        >>> import torch
        >>> GivenRows(torch.tensor([[True, False, False, True]]), None, visible=True).take(2, (2, 2))
        tensor([[1, 2],
                [1, 2]])
    """

    def __init__(self, mask: Tensor, images: int | None, *, visible: bool = False) -> None:
        self._mask, self._images, self._visible = mask, images, visible
        self._rows: Tensor | None = None
        self._handed_out = 0

    def take(self, count: int, grid_size: tuple[int, int]) -> Tensor:
        """Return the rows of the next images, (count, N) bool, or (count, K) int64 where they are `visible`.

        Raises:
            MaskError: an impossible mask, or fewer rows than images.
        """
        if self._rows is None:
            checked = check_mask(self._mask, self._images, grid_size[0] * grid_size[1])
            self._rows = visible_indices(checked) if self._visible else checked
        start, self._handed_out = self._handed_out, self._handed_out + count
        if self._one_for_all:
            return self._rows.expand(count, -1)
        if self._handed_out > len(self._rows):
            raise MaskError(
                f"the mask has {len(self._rows)} rows, but there are more images; give one row per image.",
                expected=len(self._rows),
            )
        return self._rows[start : self._handed_out]

    def check_end(self) -> None:
        """Make sure that the last image had the last row.

        Raises:
            MaskError: rows are left.
        """
        if self._rows is not None and not self._one_for_all and self._handed_out != len(self._rows):
            raise MaskError(
                f"the mask has {len(self._rows)} rows, but there were only {self._handed_out} images; "
                "give one row per image.",
                expected=len(self._rows),
                found=self._handed_out,
            )

    @property
    def _one_for_all(self) -> bool:
        return self._images is None and self._rows is not None and len(self._rows) == 1
