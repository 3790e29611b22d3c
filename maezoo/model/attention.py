"""The class token's attention weights, which the fused kernels never show."""

from typing import Any

from torch import Tensor

__all__ = ["class_token_attention"]


def class_token_attention(attention: Any, x: Tensor, prefix: int) -> Tensor:
    """Recompute a timm Attention's softmax(q k) for the class token; of several, for the first.

    Args:
        attention: a block's attention layer, whose own projection gives q and k.
        x: (B, prefix + N, D), its input.
        prefix: number of class tokens.

    Returns:
        (B, heads, N) float32.
    """
    qkv = attention.qkv(x).unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    q = attention.q_norm(qkv[0][:, :, :1]).float()  # (B, heads, 1, head width)
    k = attention.k_norm(qkv[1]).float()  # (B, heads, 1 + N, head width)
    weights: Tensor = (q * attention.scale @ k.transpose(-2, -1)).softmax(dim=-1)
    return weights[:, :, 0, prefix:]
