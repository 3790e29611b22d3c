"""The masked autoencoder: a timm encoder that sees the visible patches, a decoder that predicts the hidden ones."""

from dataclasses import dataclass

import torch
from timm.models import VisionTransformer
from torch import Tensor

from maezoo.errors import ArgumentError, DecoderMissingError
from maezoo.masks.draw import random_mask
from maezoo.masks.visible import check_mask, group_rows, traced_indices
from maezoo.model.decoder import Decoder
from maezoo.model.embedding import attribute_of
from maezoo.model.encoding import MaskedEncoder
from maezoo.model.facts import PAPER, Facts
from maezoo.model.patches import PatchedImages, normalise_patches, patch_statistics
from maezoo.vocabulary import TARGETS, Target

__all__ = ["MAEOutput", "MaskedAutoencoder"]


@dataclass(frozen=True)
class MAEOutput:
    """What a training forward gives.

    Attributes:
        loss: scalar float32, the mean over hidden patches of the per-patch mean squared error; 0 when none is hidden.
        prediction: (B, N, P*P*C), in the target's space.
        mask: (B, N) bool on the prediction's device, True = hidden.
    """

    loss: Tensor
    prediction: Tensor
    mask: Tensor

    def __repr__(self) -> str:
        """Say in one line the loss, and the shapes."""
        return f"MAEOutput({self.loss!r}, prediction {tuple(self.prediction.shape)}, mask {tuple(self.mask.shape)})"


torch.export.register_dataclass(MAEOutput, serialized_type_name="maezoo.MAEOutput")  # for export and torch.func


class MaskedAutoencoder(MaskedEncoder):
    """A masked autoencoder (He et al. 2021, https://arxiv.org/abs/2111.06377) on tensors.

    Args:
        encoder: a timm `VisionTransformer` with a class token. Its positions are frozen here, as in the paper.
        decoder: the decoder for its tokens; `None` for an encoder alone.
        target: what the decoder predicts: `"pixel"` values, or `"normpix"`, each patch normalised by its own mean
            and standard deviation; `None` for an encoder alone of which that is not known.
        facts: of the weights: how positions are resized, whether they are learned, the usual pooling. What the
            encoder itself tells is taken from it.

    Raises:
        ArgumentError: encoder and decoder do not fit together, or the encoder has no class token.

    Example:
        >>> from maezoo.model import VARIANTS, build_mae
        >>> model = build_mae(VARIANTS["mae_vit_tiny"])
        >>> output = model(torch.randn(2, 3, 96, 96), mask_ratio=0.75)
        >>> output.prediction.shape, output.mask.sum().item()
        (torch.Size([2, 144, 192]), 216)
    """

    def __init__(
        self,
        encoder: VisionTransformer,
        decoder: Decoder | None = None,
        *,
        target: Target | None = "pixel",
        facts: Facts = PAPER,
    ) -> None:
        _check_parts(encoder, decoder, target)
        super().__init__(encoder, facts)
        self.decoder = decoder
        self.target: Target | None = target

    def predict(self, images: Tensor | PatchedImages, mask: Tensor) -> Tensor:
        """Predict every patch from those that a mask leaves visible.

        Args:
            images: (B, C, H, W), normalised.
            mask: (B, N), (1, N) or (N,) bool, True = hidden; rows of one count are computed together.

        Returns:
            (B, N, P*P*C) in the target's space.

        Raises:
            DecoderMissingError: this model is an encoder alone.
            MaskError: the mask has another dtype or shape.
        """
        self.require_decoder()
        batch = self.on_grid(images)
        h, w = batch.grid_size
        return self.predict_rows(batch, check_mask(mask, batch.images.shape[0], h * w))

    def predict_rows(self, batch: PatchedImages, mask: Tensor) -> Tensor:
        """Predict every patch as `predict` does, where the mask is known to be (B, N) bool."""
        visible = traced_indices(mask)
        if visible is not None:
            return self.predict_from(batch, visible)
        groups = group_rows(mask)
        if len(groups) == 1:
            return self.predict_from(batch, groups[0].visible)
        device = batch.images.device
        parts = [self.predict_from(batch.take(group.rows.to(device)), group.visible) for group in groups]
        places = torch.cat([group.rows for group in groups]).argsort().to(device)
        return torch.cat(parts)[places]

    def predict_from(self, images: Tensor | PatchedImages, visible: Tensor) -> Tensor:
        """Predict every patch from the visible ones, the same number in each row.

        Args:
            images: (B, C, H, W), normalised.
            visible: (B, K) int64 raster indices of the visible patches.

        Returns:
            (B, N, P*P*C) in the target's space.

        Raises:
            DecoderMissingError: this model is an encoder alone.
        """
        batch = self.on_grid(images)
        visible = visible.to(batch.images.device, non_blocking=True)
        tokens = self.encode_tokens(batch, visible)
        prediction: Tensor = self.require_decoder()(tokens, visible, batch.grid_size)
        return prediction

    def forward(
        self,
        images: Tensor,
        mask: Tensor | None = None,
        *,
        mask_ratio: float = 0.75,
        generator: torch.Generator | None = None,
    ) -> MAEOutput:
        """Compute the training loss.

        Args:
            images: (B, C, H, W), normalised.
            mask: (B, N) bool, True = hidden; drawn at random when `None`.
            mask_ratio: share of patches to hide, in [0, 1], when the mask is drawn here.
            generator: a CPU generator for that draw.

        Raises:
            DecoderMissingError: this model is an encoder alone.
            MaskError, SizeError: an impossible mask, ratio or image size.
        """
        self.require_decoder()
        batch = self.on_grid(images)
        h, w = batch.grid_size
        if mask is None:
            mask = random_mask(batch.images.shape[0], (h, w), mask_ratio, generator=generator)
        else:
            mask = check_mask(mask, batch.images.shape[0], h * w)
        prediction = self.predict_rows(batch, mask)
        mask = mask.to(prediction.device, non_blocking=True)
        error = self.patch_error(batch, prediction)  # (B, N)
        loss = (error * mask).sum() / mask.sum().clamp(min=1)
        return MAEOutput(loss, prediction, mask)

    def patch_error(self, images: Tensor | PatchedImages, prediction: Tensor) -> Tensor:
        """Return the mean squared error of each patch in the target's space, (B, N) float32.

        Args:
            images: (B, C, H, W), normalised.
            prediction: (B, N, P*P*C), as `predict` gives it.
        """
        target = self.on_grid(images).patches.float()
        if self.target == "normpix":
            target = normalise_patches(target, patch_statistics(target))
        return (prediction.float() - target).square().mean(dim=-1)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Trade compute for memory in training: recompute each block's activations in the backward pass."""
        self.encoder.set_grad_checkpointing(enable)
        if self.decoder is not None:
            self.decoder.grad_checkpointing = enable

    def require_decoder(self) -> Decoder:
        """Return the decoder.

        Raises:
            DecoderMissingError: this model is an encoder alone.
        """
        if self.decoder is None:
            raise DecoderMissingError("this model has no decoder, so it cannot reconstruct or compute a loss.")
        return self.decoder


def _check_parts(encoder: VisionTransformer, decoder: Decoder | None, target: str | None) -> None:
    """Refuse parts that cannot work together."""
    if target not in TARGETS and (target is not None or decoder is not None):
        raise ArgumentError(f"target is 'pixel' or 'normpix', not {target!r}.")
    if not encoder.has_class_token or encoder.no_embed_class or encoder.pos_embed is None:
        raise ArgumentError("the encoder needs a class token, and positions for each of its tokens.")
    if decoder is None:
        return
    grid, patch = (attribute_of(encoder.patch_embed, name) for name in ("grid_size", "patch_size"))
    ours = (encoder.embed_dim, tuple(grid), patch[0], encoder.num_prefix_tokens)
    theirs = (decoder.embed_dim, tuple(decoder.grid_size), decoder.patch_size, decoder.num_prefix_tokens)
    if ours != theirs:
        message = f"encoder (width, grid, patch, class tokens) {ours} and decoder {theirs} do not fit together."
        raise ArgumentError(message, expected=ours, found=theirs)
