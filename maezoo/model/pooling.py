"""Tokens of an image pooled to one vector, and how wide that vector is."""

import torch
from torch import Tensor

from maezoo.vocabulary import Pool

__all__ = ["pool_tokens", "pooled_width"]


def pool_tokens(tokens: Tensor, pool: Pool) -> Tensor:
    """Pool (B, 1 + N, D) tokens, class token first, to (B, D) or (B, 2 D).

    Example:
        >>> pool_tokens(torch.zeros(2, 5, 8), "cls+mean").shape
        torch.Size([2, 16])
    """
    if pool == "cls":
        return tokens[:, 0]
    mean = tokens[:, 1:].mean(dim=1)
    return mean if pool == "mean" else torch.cat([tokens[:, 0], mean], dim=1)


def pooled_width(embed_dim: int, pool: Pool) -> int:
    """Return the width of what `pool_tokens` gives for tokens of the width D.

    Example:
        >>> pooled_width(192, "cls"), pooled_width(192, "cls+mean")
        (192, 384)
    """
    return embed_dim * (2 if pool == "cls+mean" else 1)
