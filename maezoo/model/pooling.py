"""Tokens of an image pooled to one vector, and how wide that vector is."""

import torch
from torch import Tensor

from maezoo.vocabulary import Pool

__all__ = ["pool_tokens", "pooled_width"]


def pool_tokens(tokens: Tensor, pool: Pool, prefix: int = 1) -> Tensor:
    """Pool (B, prefix + N, D) tokens, class tokens first, to (B, D) or (B, 2 D).

    Of several class tokens the mean is taken.

    Args:
        tokens: of all patches, or of the visible ones.
        pool: which of them.
        prefix: how many class tokens there are.

    Example:
        >>> pool_tokens(torch.zeros(2, 5, 8), "cls+mean").shape
        torch.Size([2, 16])
    """
    of_class = tokens[:, 0] if prefix == 1 else tokens[:, :prefix].mean(dim=1)
    if pool == "cls":
        return of_class
    mean = tokens[:, prefix:].mean(dim=1)
    return mean if pool == "mean" else torch.cat([of_class, mean], dim=1)


def pooled_width(embed_dim: int, pool: Pool) -> int:
    """Return the width of what `pool_tokens` gives for tokens of the width D.

    Example:
        >>> pooled_width(192, "cls"), pooled_width(192, "cls+mean")
        (192, 384)
    """
    return embed_dim * (2 if pool == "cls+mean" else 1)
