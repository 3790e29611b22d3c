"""The lightweight decoder: visible tokens in, a prediction for every patch out."""

from functools import partial
from typing import Any

import torch
from timm.layers import LayerNorm
from timm.models._manipulate import checkpoint_seq
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from maezoo.model.facts import PAPER, Facts
from maezoo.model.positions import resize_positions

__all__ = ["Decoder"]


class Decoder(nn.Module):
    """A narrow transformer that fills the hidden patches (paper, §3 "MAE decoder").

    Args:
        embed_dim: width D of the encoder whose tokens come in.
        dim: width of the decoder.
        depth: number of blocks.
        num_heads: attention heads.
        patch_size: patch side P.
        grid_size: (h, w), the native patch grid; others work too, their positions resized.
        in_chans: channels C of the predicted pixels.
        facts: of the weights: class tokens, epsilon, width of the blocks' hidden layers, resampling of positions.
        dtype: number format of the parameters; torch's default when `None`.

    Example:
        >>> decoder = Decoder(embed_dim=32, dim=16, depth=1, num_heads=2, patch_size=8, grid_size=(4, 4))
        >>> visible = torch.tensor([[0, 5, 9]])
        >>> decoder(torch.randn(1, 4, 32), visible).shape
        torch.Size([1, 16, 192])
    """

    def __init__(
        self,
        *,
        embed_dim: int,
        dim: int,
        depth: int,
        num_heads: int,
        patch_size: int,
        grid_size: tuple[int, int],
        in_chans: int = 3,
        facts: Facts = PAPER,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.dim = dim
        self.patch_size = patch_size
        self.grid_size = grid_size
        self.in_chans = in_chans
        self.num_prefix_tokens = facts.class_tokens
        self.resampling = facts.resampling
        self.grad_checkpointing = False
        norm_layer: Any = partial(LayerNorm, eps=facts.norm_epsilon)
        made_as: Any = {"dtype": dtype}
        h, w = grid_size
        self.embed = nn.Linear(embed_dim, dim, **made_as)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim, **made_as))
        places = torch.zeros(1, facts.class_tokens + h * w, dim, **made_as)
        self.pos_embed = nn.Parameter(places, requires_grad=facts.positions == "learned")
        made_like = {"mlp_ratio": facts.mlp_ratio, "qkv_bias": True, "norm_layer": norm_layer, **made_as}
        self.blocks = nn.Sequential(*(Block(dim, num_heads, **made_like) for _ in range(depth)))
        self.norm = norm_layer(dim, **made_as)
        self.pred = nn.Linear(dim, patch_size**2 * in_chans, **made_as)

    def forward(self, tokens: Tensor, visible: Tensor, grid_size: tuple[int, int] | None = None) -> Tensor:
        """Predict the pixels of every patch, the visible ones included.

        Args:
            tokens: (B, 1 + K, D), the encoder's normed tokens, class token first; all of them, where it has several.
            visible: (B, K) int64, the raster indices of the K visible patches.
            grid_size: (h, w) of this input; the native grid when `None`.

        Returns:
            (B, N, P*P*C), in the target's space (pixels or normalised pixels).
        """
        prediction: Tensor = self.pred(self.complete(tokens, visible, grid_size))
        return prediction

    def complete(
        self,
        tokens: Tensor,
        visible: Tensor,
        grid_size: tuple[int, int] | None = None,
        *,
        kept: Tensor | None = None,
    ) -> Tensor:
        """Give every patch a token, the visible ones included: what `forward` predicts from.

        Args:
            tokens: (B, 1 + K, D), as for `forward`.
            visible: (B, K) int64, as for `forward`.
            grid_size: (h, w), as for `forward`.
            kept: (B, M) int64, the patches that take part, the visible ones among them; `None` for all.

        Returns:
            (B, N, dim), normed; zero for patches that take no part.
        """
        grid = self.grid_size if grid_size is None else grid_size
        x = self.embed(tokens)  # (B, 1 + K, dim)
        x = self._spread(x, visible, grid[0] * grid[1])  # (B, 1 + N, dim)
        prefix = self.num_prefix_tokens
        x = x + resize_positions(self.pos_embed, self.grid_size, grid, prefix=prefix, resampling=self.resampling)
        places = None if kept is None else kept[:, :, None].expand(-1, -1, x.shape[2])  # (B, M, dim)
        if places is not None:
            x = torch.cat([x[:, :prefix], x[:, prefix:].gather(1, places)], dim=1)  # (B, 1 + M, dim)
        x = checkpoint_seq(self.blocks, x) if self.grad_checkpointing and x.requires_grad else self.blocks(x)
        normed: Tensor = self.norm(x)[:, prefix:]  # (B, N, dim)
        return normed if places is None else _put(normed, places, grid[0] * grid[1])

    def _spread(self, x: Tensor, visible: Tensor, patches: int) -> Tensor:
        """Put the visible tokens at their places in a row of mask tokens: (B, 1 + K, dim) -> (B, 1 + N, dim)."""
        hidden = self.mask_token.to(x.dtype).expand(x.shape[0], patches, -1)
        places = visible[:, :, None].expand(-1, -1, x.shape[2])  # (B, K, dim)
        prefix = self.num_prefix_tokens
        return torch.cat([x[:, :prefix], hidden.scatter(1, places, x[:, prefix:])], dim=1)


def _put(tokens: Tensor, places: Tensor, patches: int) -> Tensor:
    """Put the tokens of some patches at their places, zeros elsewhere: (B, M, dim) -> (B, N, dim)."""
    return tokens.new_zeros(tokens.shape[0], patches, tokens.shape[2]).scatter(1, places, tokens)
