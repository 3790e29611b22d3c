"""The encoder's half of a masked autoencoder: a timm encoder on any patch grid, of all patches or the visible ones."""

import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from timm.models import VisionTransformer
from timm.models._manipulate import checkpoint_seq
from torch import Tensor, nn

from maezoo.arguments import is_whole, listed
from maezoo.errors import LayerError, SizeError
from maezoo.model.embedding import attribute_of, channels_of, embed_patches, embed_visible, select
from maezoo.model.facts import PAPER, Facts, mlp_ratio_of
from maezoo.model.patches import PatchedImages
from maezoo.model.positions import resize_positions
from maezoo.vocabulary import Pool

__all__ = ["MaskedEncoder", "block_indices"]


class MaskedEncoder(nn.Module):
    """An encoder that computes only the patches it is asked for. `MaskedAutoencoder` adds the decoder.

    Args:
        encoder: a timm `VisionTransformer` with a class token. Its positions are frozen here, as in the paper, unless
            they are learned.
        facts: of its weights. What the encoder itself tells (channels, class tokens, epsilon, hidden width) is taken
            from it.
    """

    def __init__(self, encoder: VisionTransformer, facts: Facts = PAPER) -> None:
        super().__init__()
        self.encoder = encoder
        self._facts = facts
        self.pos_embed.requires_grad_(facts.positions == "learned")

    @property
    def facts(self) -> Facts:
        """What the weights ask of the model, beyond an architecture's numbers."""
        encoder: Any = self.encoder
        norm = next(part for part in encoder.blocks[0].modules() if isinstance(part, nn.LayerNorm))
        hidden = attribute_of(encoder.blocks[0].mlp.fc1, "out_features")
        return replace(
            self._facts,
            in_chans=self.in_chans,
            class_tokens=self.num_prefix_tokens,
            norm_epsilon=float(norm.eps),
            mlp_ratio=mlp_ratio_of(hidden, self.embed_dim),
        )

    @property
    def pooling(self) -> Pool:
        """Which tokens stand for an image unless one is asked for: what the authors of the weights use."""
        return self._facts.pooling

    @property
    def num_prefix_tokens(self) -> int:
        """How many class tokens stand before the patches."""
        return int(self.encoder.num_prefix_tokens)

    @property
    def pos_embed(self) -> nn.Parameter:
        """The encoder's positions, (1, 1 + N, D) at the native grid; with a row for each of several class tokens."""
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

    def on_grid(self, images: Tensor | PatchedImages) -> PatchedImages:
        """Put (B, C, H, W) images on their patch grid; those that are on it already come back as they are.

        Every method that takes images calls this first, so a batch that goes through several of them is checked, and
        cut into patches, once.

        Raises:
            SizeError: not four axes, another number of channels, or H, W that are no multiples of P.
        """
        if isinstance(images, PatchedImages):
            return images
        if images.ndim != 4 or images.shape[1] != self.in_chans:
            raise SizeError(
                f"this model takes images of shape (B, {self.in_chans}, H, W); got {tuple(images.shape)}. "
                "For other channel counts pass in_chans= to create().",
                expected=("B", self.in_chans, "H", "W"),
                found=tuple(images.shape),
            )
        return PatchedImages(images, self.patch_size)

    def grid_for(self, images: Tensor) -> tuple[int, int]:
        """Return the patch grid (h, w) of (B, C, H, W) images; raises what `on_grid` raises."""
        return self.on_grid(images).grid_size

    def encode_tokens(self, images: Tensor | PatchedImages, visible: Tensor | None = None) -> Tensor:
        """Encode all patches, or the visible ones alone: hidden patches are not computed.

        Args:
            images: (B, C, H, W), normalised.
            visible: (B, K) int64 raster indices of the visible patches; `None` for all.

        Returns:
            (B, 1 + K, D) normed tokens, class token first, the patches in the order of `visible`. Of several class
            tokens all come first: (B, `num_prefix_tokens` + K, D).
        """
        x = self._embed(images, visible)
        blocks = self.encoder.blocks
        x = checkpoint_seq(blocks, x) if self.encoder.grad_checkpointing and x.requires_grad else blocks(x)
        normed: Tensor = self.encoder.norm(x)
        return normed

    def block_tokens(self, images: Tensor | PatchedImages, layers: Sequence[int], *, norm: bool = True) -> list[Tensor]:
        """Encode all patches and keep the tokens after chosen blocks; the blocks after the last one do not run.

        Args:
            images: (B, C, H, W), normalised.
            layers: block indices from 0, negative ones counted from the end.
            norm: apply the encoder's final norm to each.

        Returns:
            One (B, 1 + N, D) tensor for each entry of `layers`, in its order.

        Raises:
            LayerError: no such block.
        """
        wanted = block_indices(layers, len(self.encoder.blocks))
        x = self._embed(images, None)
        found: dict[int, Tensor] = {}
        for index, block in enumerate(self.encoder.blocks[: max(wanted) + 1]):
            x = block(x)
            if index in wanted:
                found[index] = self.encoder.norm(x) if norm else x
        return [found[index] for index in wanted]

    def _embed(self, images: Tensor | PatchedImages, visible: Tensor | None) -> Tensor:
        """Embed all patches, or only the visible ones, and add class token and positions: (B, 1 + K, D)."""
        batch, encoder = self.on_grid(images), self.encoder
        B = batch.images.shape[0]  # not len(): an exported batch is a symbol
        prefix, how = self.num_prefix_tokens, self._facts.resampling
        positions = resize_positions(self.pos_embed, self.grid_size, batch.grid_size, prefix=prefix, resampling=how)
        if visible is None:
            x = embed_patches(encoder.patch_embed, batch.images)  # (B, N, D), bit for bit as timm has it
            places = positions[:, prefix:]
        else:
            x = embed_visible(encoder.patch_embed, batch, visible)  # (B, K, D)
            places = select(positions[:, prefix:].expand(B, -1, -1), visible)
        token = self.cls_token if prefix == 1 else torch.cat([self.cls_token, cast(Tensor, encoder.reg_token)], dim=1)
        class_tokens = (token + positions[:, :prefix]).expand(B, -1, -1)
        x = torch.cat([class_tokens.to(x.dtype), x + places], dim=1)  # (B, prefix + K, D)
        embedded: Tensor = encoder.norm_pre(encoder.pos_drop(x))
        return embedded


def block_indices(layers: Sequence[int], depth: int, name: str = "layers") -> list[int]:
    """Return block indices counted from 0.

    Raises:
        LayerError: no list of whole numbers, an empty one, or no such block.

    Example:
        >>> block_indices((0, -1), 12)
        [0, 11]
    """
    found = listed(layers, name, "block indices, such as [-1]", error=LayerError)
    if not all(is_whole(layer, -depth, depth - 1) for layer in found):
        raise LayerError(
            f"{name}={tuple(found)}: this encoder has the blocks 0 to {depth - 1} (or -{depth} to -1).",
            expected=range(-depth, depth),
            found=tuple(found),
        )
    return [operator.index(layer) % depth for layer in found]
