"""The starting values of the paper."""

import torch
from timm.models import VisionTransformer
from torch import nn

from maezoo.model.decoder import Decoder
from maezoo.model.positions import sincos_positions

__all__ = ["initialise"]


@torch.no_grad()
def initialise(module: VisionTransformer | Decoder) -> None:
    """Give an encoder or a decoder its starting values, in place (paper, appendix A.1).

    Linear layers are xavier-uniform with zero bias, the patch embedding counts as one linear layer, tokens are
    normal(0, 0.02) and positions 2-D sin-cos.

    Example:
        >>> from maezoo.model import Decoder
        >>> initialise(Decoder(embed_dim=8, dim=8, depth=1, num_heads=2, patch_size=4, grid_size=(2, 2)))
    """
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.LayerNorm):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)
    if isinstance(module, Decoder):
        nn.init.normal_(module.mask_token, std=0.02)
        module.pos_embed.copy_(sincos_positions(module.grid_size, module.dim))
        return
    projection = module.patch_embed.proj
    nn.init.xavier_uniform_(projection.weight.view(projection.out_channels, -1))
    nn.init.zeros_(projection.bias)
    if module.cls_token is not None:
        nn.init.normal_(module.cls_token, std=0.02)
    if module.pos_embed is not None:
        patches = sincos_positions(module.patch_embed.grid_size, module.embed_dim)[:, 1:]  # (1, N, D)
        module.pos_embed.zero_()
        module.pos_embed[:, -patches.shape[1] :] = patches  # prefix tokens stand in front, if positions count them
