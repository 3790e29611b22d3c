"""An encoder as a backbone for dense tasks: images of any size to one map, with attention in windows where wanted."""

from collections.abc import Sequence
from typing import Any

import torch
from timm.layers import PatchEmbed, resample_patch_embed
from timm.models import VisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from maezoo.arguments import whole_number
from maezoo.errors import ArgumentError, SizeError
from maezoo.model.embedding import attribute_of, channels_of, embed_patches
from maezoo.model.encoding import block_indices
from maezoo.model.positions import resize_positions
from maezoo.model.windows import spread_blocks, windowed_block
from maezoo.vocabulary import Resampling

__all__ = ["PATCH", "Trunk"]

PATCH = 16  # pixels: the stride of the map, whatever the encoder's own patch side
MULTIPLE = 32  # pixels: the coarsest stride of a pyramid


class Trunk(nn.Module):
    """The encoder up to its last block, without the final norm: (B, C, H, W) images to a (B, D, H/16, W/16) map.

    It shares the parameters of the encoder it is given; training one trains the other. Only a patch embedding of
    another side than 16 becomes a new one, resized as in FlexiViT (Beyer et al. 2023, §3.4): on an image enlarged in
    that proportion it gives the same tokens, nearly. Positions are resized to the grid of each batch.

    Args:
        encoder: a timm `VisionTransformer` with a class token and no other prefix.
        window_size: side of the attention windows in patches; `None` for global attention.
        global_blocks: blocks that keep global attention, negative ones counted from the end; the last of each quarter
            when `None`.
        resampling: how positions are resized; see `Facts`.

    Raises:
        ArgumentError: an encoder of another kind, a window below 1, or global blocks without windows.
        LayerError: no such block.
    """

    def __init__(
        self,
        encoder: VisionTransformer,
        *,
        window_size: int | None = None,
        global_blocks: Sequence[int] | None = None,
        resampling: Resampling = "antialias",
    ) -> None:
        super().__init__()
        if encoder.cls_token is None or encoder.num_prefix_tokens != 1 or encoder.pos_embed is None:
            raise ArgumentError("a pyramid takes a ViT with positions, one class token and no other prefix tokens.")
        self.grid_size: tuple[int, int] = tuple(attribute_of(encoder.patch_embed, "grid_size"))
        self.patch_embed = _with_patch_16(encoder.patch_embed)
        self.cls_token: nn.Parameter = encoder.cls_token
        self.pos_embed: nn.Parameter = encoder.pos_embed
        self.pos_drop: nn.Module = encoder.pos_drop
        self.norm_pre: nn.Module = encoder.norm_pre
        self.blocks: nn.Sequential = encoder.blocks
        self.embed_dim = int(encoder.embed_dim)
        self.resampling = resampling
        self.window_size = _check_window(window_size, global_blocks)
        self.global_blocks = _check_blocks(global_blocks, len(self.blocks))
        self.grad_checkpointing = bool(encoder.grad_checkpointing)

    @property
    def in_chans(self) -> int:
        """Channels C of the input."""
        return channels_of(self.patch_embed)

    def forward(self, images: Tensor) -> Tensor:
        """Encode (B, C, H, W) normalised images to a map (B, D, H/16, W/16).

        Raises:
            SizeError: another number of channels, or H or W that is no multiple of 32.
        """
        grid = self._grid_of(images)
        positions = resize_positions(self.pos_embed, self.grid_size, grid, resampling=self.resampling)
        x = embed_patches(self.patch_embed, images) + positions[:, 1:]  # (B, N, D)
        class_token = (self.cls_token + positions[:, :1]).expand(len(x), -1, -1)
        x = self.norm_pre(self.pos_drop(torch.cat([class_token.to(x.dtype), x], dim=1)))  # (B, 1 + N, D)
        for index in range(len(self.blocks)):
            if self.grad_checkpointing and x.requires_grad:
                x = checkpoint(self._run_block, index, x, grid, use_reentrant=False)
            else:
                x = self._run_block(index, x, grid)
        return x[:, 1:].transpose(1, 2).reshape(len(x), -1, *grid)  # (B, D, h, w)

    def _run_block(self, index: int, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Run one block on (B, 1 + N, D), with or without windows."""
        block: Any = self.blocks[index]
        if self.window_size is None or index in self.global_blocks:
            changed: Tensor = block(tokens)
            return changed
        return windowed_block(block, tokens, grid, self.window_size)

    def _grid_of(self, images: Tensor) -> tuple[int, int]:
        """Return the patch grid of a batch, or say what is wrong with it."""
        if images.ndim != 4 or images.shape[1] != self.in_chans:
            expected = ("B", self.in_chans, "H", "W")
            message = f"this pyramid takes images of shape (B, {self.in_chans}, H, W); got {tuple(images.shape)}."
            raise SizeError(message, expected=expected, found=tuple(images.shape))
        height, width = images.shape[2:]
        if not height or not width or height % MULTIPLE or width % MULTIPLE:
            nearest = "x".join(str(max(1, round(side / MULTIPLE)) * MULTIPLE) for side in (height, width))
            raise SizeError(
                f"{height}x{width} (height x width): both sides must be multiples of {MULTIPLE}, the coarsest stride "
                f"of the pyramid. The nearest valid size is {nearest}: resize the images, or pad them.",
                found=(height, width),
                suggestions=[nearest],
            )
        return height // PATCH, width // PATCH


def _with_patch_16(embedding: nn.Module) -> nn.Module:
    """Return the patch embedding itself if its patches are 16 pixels wide, else one whose are."""
    if tuple(attribute_of(embedding, "patch_size")) == (PATCH, PATCH):
        return embedding
    old = attribute_of(embedding, "proj")
    h, w = attribute_of(embedding, "grid_size")
    resized = PatchEmbed(
        img_size=(h * PATCH, w * PATCH),
        patch_size=PATCH,
        in_chans=old.in_channels,
        embed_dim=old.out_channels,
        bias=old.bias is not None,
        device=old.weight.device,
        dtype=old.weight.dtype,
    )
    with torch.no_grad():
        resized.proj.weight.copy_(resample_patch_embed(old.weight.detach(), [PATCH, PATCH]))
    resized.proj.weight.requires_grad_(old.weight.requires_grad)
    resized.proj.bias = old.bias
    return resized


def _check_window(window_size: int | None, global_blocks: Sequence[int] | None) -> int | None:
    """Return the side of a window as a number, or say what is wrong with it."""
    if window_size is None:
        if global_blocks is not None:
            raise ArgumentError("global_blocks says which blocks have no windows; pass window_size= too (ViTDet: 14).")
        return None
    return whole_number(window_size, "window_size", what="a whole number of patches, or None")


def _check_blocks(global_blocks: Sequence[int] | None, depth: int) -> frozenset[int]:
    """Return the global blocks counted from 0."""
    if global_blocks is None:
        return frozenset(spread_blocks(depth))
    if isinstance(global_blocks, tuple | list) and not global_blocks:
        return frozenset()  # windows in every block
    return frozenset(block_indices(global_blocks, depth, "global_blocks"))
