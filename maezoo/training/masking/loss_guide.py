"""Which patches are hard to reconstruct, according to a predictor of the loss that is trained with the decoder."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maezoo.model import Decoder, MaskedAutoencoder, initialise
from maezoo.model.encoding import MaskedEncoder
from maezoo.training.masking.average import follow, frozen_copy

__all__ = ["LossGuide", "ranking_loss"]


class LossGuide(nn.Module):
    """Scores patches by their predicted loss (Hard Patches Mining, https://arxiv.org/abs/2304.05919, §3).

    The predictor is a second decoder of the same shape, with one number for each patch, trained to order the hidden
    patches of an image by their loss (`ranking_loss`); its gradient reaches the encoder, too. Masks come from slowly
    averaged copies of encoder and predictor, which see the image with no patch hidden.

    Args:
        model: the autoencoder that is trained.
    """

    def __init__(self, model: MaskedAutoencoder) -> None:
        super().__init__()
        decoder, facts = model.require_decoder(), model.facts
        attention: Any = decoder.blocks[0].attn
        self.predictor = Decoder(
            embed_dim=decoder.embed_dim,
            dim=decoder.dim,
            depth=len(decoder.blocks),
            num_heads=attention.num_heads,
            patch_size=1,
            grid_size=decoder.grid_size,
            in_chans=1,
            facts=facts,
        )
        initialise(self.predictor, facts.positions)
        self.encoder_copy = MaskedEncoder(frozen_copy(model.encoder), facts).requires_grad_(False)
        self.predictor_copy = frozen_copy(self.predictor)

    def follow(self, model: MaskedAutoencoder, step: int) -> None:
        """Move the copies towards the weights that a step starts from."""
        follow(self.encoder_copy.encoder, model.encoder, step)
        follow(self.predictor_copy, self.predictor, step)

    @torch.no_grad()
    def scores(self, images: Tensor) -> Tensor:
        """Return a number for each patch of (B, C, H, W) normalised images, larger where it is harder: (B, N)."""
        batch = self.encoder_copy.on_grid(images)
        h, w = batch.grid_size
        everything = torch.arange(h * w, dtype=torch.int64, device=images.device).expand(len(images), -1)
        predicted: Tensor = self.predictor_copy(self.encoder_copy.encode_tokens(batch), everything, (h, w))
        return predicted[:, :, 0].float()

    def forward(
        self, tokens: Tensor, visible: Tensor, grid_size: tuple[int, int], error: Tensor, mask: Tensor
    ) -> Tensor:
        """Return the predictor's own loss, a scalar.

        Args:
            tokens: (B, 1 + K, D), the encoder's.
            visible: (B, K) int64, the visible patches.
            grid_size: (h, w).
            error: (B, N), the loss of each patch; no gradient flows back through it.
            mask: (B, N) bool, the patches whose error counts.
        """
        predicted: Tensor = self.predictor(tokens, visible, grid_size)
        return ranking_loss(predicted[:, :, 0].float(), error.detach(), mask)


def ranking_loss(predicted: Tensor, error: Tensor, mask: Tensor) -> Tensor:
    """Return how badly predictions order the errors of an image (Hard Patches Mining, §3.2, the relative loss).

    For each pair of patches of one image, the binary cross entropy of "the first is harder", whose logit is the
    difference of the two predictions; the mean over an image's pairs of different error, then over the images that
    have any.

    Args:
        predicted: (B, N).
        error: (B, N).
        mask: (B, N) bool, the patches that are compared.

    Example:
        >>> error = torch.tensor([[1.0, 2.0, 3.0]])
        >>> everything = torch.ones(1, 3, dtype=torch.bool)
        >>> bool(ranking_loss(10 * error, error, everything) < 1e-4)
        True
    """
    order = (error[:, :, None] - error[:, None]).sign()  # (B, N, N)
    pairs = mask[:, :, None] & mask[:, None] & (order != 0)
    difference = predicted[:, :, None] - predicted[:, None]
    terms = (F.softplus(-order * difference) * pairs).flatten(1).sum(dim=1)
    counts = pairs.flatten(1).sum(dim=1)
    return (terms / counts.clamp(min=1)).sum() / (counts > 0).sum().clamp(min=1)
