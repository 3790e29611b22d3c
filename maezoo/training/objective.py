"""The training loss: the decoder's error and, if asked, that of heads which only training has."""

from typing import cast

import torch
from torch import Tensor, nn

from maezoo.masks.visible import group_rows
from maezoo.model import MaskedAutoencoder
from maezoo.model.patches import normalise_patches, patch_statistics, patchify
from maezoo.training.masking.loss_guide import LossGuide
from maezoo.training.masking.masks import find_guide
from maezoo.vocabulary import MaskStrategy

__all__ = ["Objective", "counted_patches"]


class Objective(nn.Module):
    """The training loss of a masked autoencoder.

    A pixel target gives true colours, the normalised target better features (paper, table 1d). With a weight, the
    decoder's tokens feed a second, linear head that predicts the normalised pixels; it is dropped after training.

    Args:
        model: the autoencoder.
        normpix_weight: of the second head's error; 0 for no such head.
        mask_strategy: how masks are chosen; two strategies need the module `guide`.

    Example:
        >>> import torch
        >>> from maezoo.masks.draw import random_mask
        >>> from maezoo.model import VARIANTS, build_mae
        >>> objective = Objective(build_mae(VARIANTS["mae_vit_tiny"]), normpix_weight=1.0)
        >>> objective(torch.randn(2, 3, 96, 96), random_mask(2, (12, 12), 0.75)).shape
        torch.Size([])
    """

    def __init__(
        self, model: MaskedAutoencoder, normpix_weight: float = 0.0, mask_strategy: MaskStrategy = "random"
    ) -> None:
        super().__init__()
        self.model = model
        self.normpix_weight = normpix_weight
        pred = model.require_decoder().pred
        self.normpix = (
            nn.Linear(pred.in_features, pred.out_features, device=pred.weight.device, dtype=pred.weight.dtype)
            if normpix_weight
            else None
        )
        self.guide = find_guide(mask_strategy, model)

    def forward(self, images: Tensor, mask: Tensor, predicted: Tensor | None = None) -> Tensor:
        """Return the loss, a scalar.

        Args:
            images: (B, C, H, W), normalised; one that could not be read is NaN throughout, and counts for nothing.
            mask: (B, N) bool on any device, True = hidden; the same number in each row where there is more than the
                decoder's own error.
            predicted: (B, N) bool, the hidden patches that the decoder predicts, the same number in each row: no
                other one costs time in it, or counts. `None` for all.
        """
        counted = counted_patches(images, mask if predicted is None else predicted)
        images = torch.where(_read(images).view(-1, 1, 1, 1), images, 0.0)
        if self.normpix is None and predicted is None and not isinstance(self.guide, LossGuide):
            batch = self.model.on_grid(images)
            return _mean(self.model.patch_error(batch, self.model.predict_rows(batch, mask)), counted)
        model, decoder, grid = self.model, self.model.require_decoder(), self.model.grid_for(images)
        visible = _unmarked(mask).to(images.device, non_blocking=True)  # all rows have one count
        kept = None if predicted is None else _unmarked(mask & ~predicted).to(images.device, non_blocking=True)
        encoded = model.encode_tokens(images, visible)
        tokens = decoder.complete(encoded, visible, grid, kept=kept)  # (B, N, dim)
        error = model.patch_error(images, decoder.pred(tokens))  # (B, N)
        total = error if self.normpix is None else error + self.normpix_weight * self._second(images, tokens)
        loss = _mean(total, counted)
        if isinstance(self.guide, LossGuide):
            loss = loss + self.guide(encoded, visible, grid, error, counted)
        return loss

    def _second(self, images: Tensor, tokens: Tensor) -> Tensor:
        """Return the error of the normalised pixels, (B, N)."""
        truth = patchify(images, self.model.patch_size).float()
        target = normalise_patches(truth, patch_statistics(truth))
        predicted: Tensor = cast(nn.Linear, self.normpix)(tokens)
        return (predicted.float() - target).square().mean(dim=-1)


def _unmarked(mask: Tensor) -> Tensor:
    """List the patches that a mask leaves out, the same number in each row: (B, K) int64."""
    left: Tensor = group_rows(mask)[0].visible
    return left


def counted_patches(images: Tensor, mask: Tensor) -> Tensor:
    """Return which patches the loss counts: the hidden ones of images that could be read.

    Args:
        images: (B, C, H, W); one that could not be read is NaN throughout.
        mask: (B, N) bool on any device, True = hidden.

    Returns:
        (B, N) bool on the images' device.
    """
    return mask.to(images.device, non_blocking=True) & _read(images)[:, None]


def _read(images: Tensor) -> Tensor:
    """Tell which images could be read: (B,) bool."""
    return ~images.isnan().flatten(1).all(dim=1)


def _mean(error: Tensor, counted: Tensor) -> Tensor:
    """Return the mean of those errors that count; both (B, N)."""
    return (error * counted).sum() / counted.sum().clamp(min=1)
