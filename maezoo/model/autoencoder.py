"""The masked autoencoder: a timm encoder that sees the visible patches, a decoder that predicts the hidden ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from timm.models import VisionTransformer
from timm.models._manipulate import checkpoint_seq
from torch import Tensor, nn

from maezoo.errors import ArgumentError, DecoderMissingError, LayerError, SizeError
from maezoo.masks.draw import random_mask
from maezoo.masks.visible import check_mask, group_rows, traced_indices
from maezoo.model.decoder import Decoder
from maezoo.model.embedding import attribute_of, channels_of, embed_patches, embed_visible, select
from maezoo.model.patches import grid_of, normalise_patches, patch_statistics, patchify
from maezoo.model.positions import resize_positions
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


torch.export.register_dataclass(MAEOutput, serialized_type_name="maezoo.MAEOutput")  # for export and torch.func


class MaskedAutoencoder(nn.Module):
    """A masked autoencoder (He et al. 2021, https://arxiv.org/abs/2111.06377) on tensors.

    Args:
        encoder: a timm `VisionTransformer` with a class token. Its positions are frozen here, as in the paper.
        decoder: the decoder for its tokens; `None` for an encoder alone.
        target: what the decoder predicts: `"pixel"` values, or `"normpix"`, each patch normalised by its own mean
            and standard deviation.

    Raises:
        ArgumentError: encoder and decoder do not fit together, or the encoder has no class token.

    Example:
        >>> from maezoo.model import VARIANTS, build_mae
        >>> model = build_mae(VARIANTS["mae_vit_tiny"])
        >>> output = model(torch.randn(2, 3, 96, 96), mask_ratio=0.75)
        >>> output.prediction.shape, output.mask.sum().item()
        (torch.Size([2, 144, 192]), 216)
    """

    def __init__(self, encoder: VisionTransformer, decoder: Decoder | None = None, *, target: Target = "pixel") -> None:
        super().__init__()
        _check_parts(encoder, decoder, target)
        self.encoder = encoder
        self.decoder = decoder
        self.target: Target = target
        self.pos_embed.requires_grad_(False)

    @property
    def pos_embed(self) -> nn.Parameter:
        """The encoder's positions, (1, 1 + N, D) at the native grid."""
        return cast(nn.Parameter, self.encoder.pos_embed)

    @property
    def cls_token(self) -> nn.Parameter:
        """The encoder's class token, (1, 1, D)."""
        return cast(nn.Parameter, self.encoder.cls_token)

    @property
    def patch_size(self) -> int:
        """Patch side P in pixels."""
        return int(attribute_of(self.encoder.patch_embed, "patch_size")[0])

    @property
    def in_chans(self) -> int:
        """Channels C of the input."""
        return channels_of(self.encoder.patch_embed)

    @property
    def embed_dim(self) -> int:
        """Width D of the encoder."""
        return int(self.encoder.embed_dim)

    @property
    def grid_size(self) -> tuple[int, int]:
        """Native patch grid (h, w)."""
        h, w = attribute_of(self.encoder.patch_embed, "grid_size")
        return int(h), int(w)

    @property
    def img_size(self) -> tuple[int, int]:
        """Native image size (H, W) in pixels."""
        h, w = self.grid_size
        return h * self.patch_size, w * self.patch_size

    def grid_for(self, images: Tensor) -> tuple[int, int]:
        """Return the patch grid (h, w) of (B, C, H, W) images, or say what is wrong with their shape.

        Raises:
            SizeError: not four axes, another number of channels, or H, W that are no multiples of P.
        """
        if images.ndim != 4 or images.shape[1] != self.in_chans:
            raise SizeError(
                f"this model takes images of shape (B, {self.in_chans}, H, W); got {tuple(images.shape)}. "
                "For other channel counts pass in_chans= to create()."
            )
        return grid_of((images.shape[2], images.shape[3]), self.patch_size)

    def encode_tokens(self, images: Tensor, visible: Tensor | None = None) -> Tensor:
        """Encode all patches, or the visible ones alone: hidden patches cost nothing.

        Args:
            images: (B, C, H, W), normalised.
            visible: (B, K) int64 raster indices of the visible patches; `None` for all.

        Returns:
            (B, 1 + K, D) normed tokens, class token first, the patches in the order of `visible`.
        """
        x = self._embed(images, visible)
        blocks = self.encoder.blocks
        x = checkpoint_seq(blocks, x) if self.encoder.grad_checkpointing and x.requires_grad else blocks(x)
        normed: Tensor = self.encoder.norm(x)
        return normed

    def block_tokens(self, images: Tensor, layers: Sequence[int], *, norm: bool = True) -> list[Tensor]:
        """Encode all patches and keep the tokens behind chosen blocks; blocks above the last one do not run.

        Args:
            images: (B, C, H, W), normalised.
            layers: block indices from 0, negative ones counted from the end.
            norm: apply the encoder's final norm to each.

        Returns:
            One (B, 1 + N, D) tensor for each entry of `layers`, in its order.

        Raises:
            LayerError: no such block.
        """
        depth = len(self.encoder.blocks)
        wanted = [layer if layer >= 0 else depth + layer for layer in layers]
        if not wanted or min(wanted) < 0 or max(wanted) >= depth:
            raise LayerError(
                f"layers={tuple(layers)}: this encoder has the blocks 0 to {depth - 1} (or -{depth} to -1)."
            )
        x = self._embed(images, None)
        found: dict[int, Tensor] = {}
        for index, block in enumerate(self.encoder.blocks[: max(wanted) + 1]):
            x = block(x)
            if index in wanted:
                found[index] = self.encoder.norm(x) if norm else x
        return [found[index] for index in wanted]

    def predict(self, images: Tensor, mask: Tensor) -> Tensor:
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
        h, w = self.grid_for(images)
        mask = check_mask(mask, images.shape[0], h * w)
        visible = traced_indices(mask)
        if visible is not None:
            return self.predict_from(images, visible)
        groups = group_rows(mask)
        if len(groups) == 1:
            return self.predict_from(images, groups[0].visible)
        parts = [self.predict_from(images[group.rows.to(images.device)], group.visible) for group in groups]
        places = torch.cat([group.rows for group in groups]).argsort().to(images.device)
        return torch.cat(parts)[places]

    def predict_from(self, images: Tensor, visible: Tensor) -> Tensor:
        """Predict every patch from the visible ones, the same number in each row.

        Args:
            images: (B, C, H, W), normalised.
            visible: (B, K) int64 raster indices of the visible patches.

        Returns:
            (B, N, P*P*C) in the target's space.

        Raises:
            DecoderMissingError: this model is an encoder alone.
        """
        visible = visible.to(images.device, non_blocking=True)
        tokens = self.encode_tokens(images, visible)
        prediction: Tensor = self.require_decoder()(tokens, visible, self.grid_for(images))
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
        if mask is None:
            mask = random_mask(images.shape[0], self.grid_for(images), mask_ratio, generator=generator)
        prediction = self.predict(images, mask)
        mask = check_mask(mask, *prediction.shape[:2]).to(prediction.device, non_blocking=True)
        error = self.patch_error(images, prediction)  # (B, N)
        loss = (error * mask).sum() / mask.sum().clamp(min=1)
        return MAEOutput(loss, prediction, mask)

    def patch_error(self, images: Tensor, prediction: Tensor) -> Tensor:
        """Return the mean squared error of each patch in the target's space, (B, N) float32.

        Args:
            images: (B, C, H, W), normalised.
            prediction: (B, N, P*P*C), as `predict` gives it.
        """
        target = patchify(images, self.patch_size).float()
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

    def _embed(self, images: Tensor, visible: Tensor | None) -> Tensor:
        """Embed all patches, or only the visible ones, and add class token and positions: (B, 1 + K, D)."""
        encoder, grid = self.encoder, self.grid_for(images)
        positions = resize_positions(self.pos_embed, self.grid_size, grid)
        if visible is None:
            x = embed_patches(encoder.patch_embed, images)  # (B, N, D), bit for bit as timm has it
            places = positions[:, 1:]
        else:
            x = embed_visible(encoder.patch_embed, images, visible)  # (B, K, D)
            places = select(positions[:, 1:].expand(images.shape[0], -1, -1), visible)
        class_token = (self.cls_token + positions[:, :1]).expand(images.shape[0], -1, -1)
        x = torch.cat([class_token.to(x.dtype), x + places], dim=1)  # (B, 1 + K, D)
        embedded: Tensor = encoder.norm_pre(encoder.pos_drop(x))
        return embedded


def _check_parts(encoder: VisionTransformer, decoder: Decoder | None, target: str) -> None:
    """Refuse parts that cannot work together."""
    if target not in TARGETS:
        raise ArgumentError(f"target is 'pixel' or 'normpix', not {target!r}.")
    if not encoder.has_class_token or encoder.num_prefix_tokens != 1 or encoder.pos_embed is None:
        raise ArgumentError("the encoder needs a class token, no other prefix tokens, and positions.")
    if decoder is None:
        return
    grid, patch = (attribute_of(encoder.patch_embed, name) for name in ("grid_size", "patch_size"))
    ours = (encoder.embed_dim, tuple(grid), patch[0])
    theirs = (decoder.embed_dim, tuple(decoder.grid_size), decoder.patch_size)
    if ours != theirs:
        raise ArgumentError(f"encoder (width, grid, patch) {ours} and decoder {theirs} do not fit together.")
