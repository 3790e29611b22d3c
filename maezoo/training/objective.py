"""The training loss: the decoder's error and, if asked, that of a second head which only training has."""

import torch
from torch import Tensor, nn

from maezoo.masks.visible import group_rows
from maezoo.model import MaskedAutoencoder
from maezoo.model.patches import normalise_patches, patch_statistics, patchify

__all__ = ["Objective", "counted_patches"]


class Objective(nn.Module):
    """The training loss of a masked autoencoder.

    A pixel target gives true colours, the normalised target better features (paper, table 1d). With a weight, the
    decoder's tokens feed a second, linear head that predicts the normalised pixels; it is dropped after training.

    Args:
        model: the autoencoder.
        normpix_weight: of the second head's error; 0 for no such head.

    Example:
        >>> import torch
        >>> from maezoo.masks.draw import random_mask
        >>> from maezoo.model import VARIANTS, build_mae
        >>> objective = Objective(build_mae(VARIANTS["mae_vit_tiny"]), normpix_weight=1.0)
        >>> objective(torch.randn(2, 3, 96, 96), random_mask(2, (12, 12), 0.75)).shape
        torch.Size([])
    """

    def __init__(self, model: MaskedAutoencoder, normpix_weight: float = 0.0) -> None:
        super().__init__()
        self.model = model
        self.normpix_weight = normpix_weight
        pred = model.require_decoder().pred
        self.normpix = (
            nn.Linear(pred.in_features, pred.out_features, device=pred.weight.device, dtype=pred.weight.dtype)
            if normpix_weight
            else None
        )

    def forward(self, images: Tensor, mask: Tensor) -> Tensor:
        """Return the loss, a scalar.

        Args:
            images: (B, C, H, W), normalised; one that could not be read is NaN throughout, and counts for nothing.
            mask: (B, N) bool on any device, True = hidden, the same number in each row.
        """
        counted = counted_patches(images, mask)
        images = torch.where(_read(images).view(-1, 1, 1, 1), images, 0.0)
        if self.normpix is None:
            output = self.model(images, mask)
            return _mean(self.model.patch_error(images, output.prediction), counted)
        model, decoder = self.model, self.model.require_decoder()
        visible = group_rows(mask)[0].visible.to(images.device, non_blocking=True)  # all rows have one count
        tokens = decoder.complete(model.encode_tokens(images, visible), visible, model.grid_for(images))  # (B, N, dim)
        truth = patchify(images, model.patch_size).float()
        target = normalise_patches(truth, patch_statistics(truth))
        second = (self.normpix(tokens).float() - target).square().mean(dim=-1)  # (B, N)
        error = model.patch_error(images, decoder.pred(tokens)) + self.normpix_weight * second
        return _mean(error, counted)


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
