"""Which patches the class token attends to, according to a slowly averaged copy of the encoder."""

from typing import Any

import torch
from torch import Tensor, nn

from maezoo.model import MaskedAutoencoder
from maezoo.model.attention import class_token_attention
from maezoo.model.encoding import MaskedEncoder
from maezoo.training.masking.average import follow, frozen_copy

__all__ = ["AttentionGuide"]


class AttentionGuide(nn.Module):
    """Scores patches by attention (AttMask, https://arxiv.org/abs/2203.12719, §3.3).

    The score of a patch is the weight that the class token of the last block gives it, the mean over the heads. As
    there, the copy sees the image with no patch hidden; there it is the teacher of a distillation, here a copy that
    follows the encoder.

    Args:
        model: the autoencoder that is trained.
    """

    def __init__(self, model: MaskedAutoencoder) -> None:
        super().__init__()
        self.copy = MaskedEncoder(frozen_copy(model.encoder), model.facts).requires_grad_(False)

    def follow(self, model: MaskedAutoencoder, step: int) -> None:
        """Move the copy towards the weights that a step starts from."""
        follow(self.copy.encoder, model.encoder, step)

    @torch.no_grad()
    def scores(self, images: Tensor) -> Tensor:
        """Return the attention to each patch of (B, C, H, W) normalised images: (B, N) float32."""
        found: list[Tensor] = []

        def keep(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            found.append(class_token_attention(module, inputs[0], self.copy.num_prefix_tokens))

        blocks: Any = self.copy.encoder.blocks
        hook = blocks[-1].attn.register_forward_pre_hook(keep)
        try:
            self.copy.block_tokens(images, (-1,), norm=False)
        finally:
            hook.remove()
        return found[0].mean(dim=1)
