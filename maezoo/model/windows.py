"""Attention within windows of a map, so that its cost grows with the area of an image and not with its square."""

import math

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["spread_blocks", "windowed_attention", "windowed_block"]


def spread_blocks(depth: int) -> tuple[int, ...]:
    """Return the last block of each quarter of an encoder: those that ViTDet leaves global (Li et al. 2022, §3).

    Example:
        >>> spread_blocks(12), spread_blocks(24), spread_blocks(6)
        ((2, 5, 8, 11), (5, 11, 17, 23), (1, 2, 4, 5))
    """
    return tuple(sorted({math.ceil(depth * quarter / 4) - 1 for quarter in (1, 2, 3, 4)}))


def windowed_block(block: Block, tokens: Tensor, grid: tuple[int, int], window: int) -> Tensor:
    """Run a block whose attention sees one window at a time; where one window covers the map, it is the block itself.

    Args:
        block: of a timm encoder.
        tokens: (B, 1 + h*w, D), class token first.
        grid: (h, w).
        window: side of a window in patches.

    Returns:
        (B, 1 + h*w, D)
    """
    if max(grid) <= window:
        same: Tensor = block(tokens)
        return same
    attended = windowed_attention(block.attn, block.norm1(tokens), grid, window)
    tokens = tokens + block.drop_path1(block.ls1(attended))
    changed: Tensor = tokens + block.drop_path2(block.ls2(block.mlp(block.norm2(tokens))))
    return changed


def windowed_attention(attention: nn.Module, tokens: Tensor, grid: tuple[int, int], window: int) -> Tensor:
    """Attend within each window, as in ViTDet: the map is padded with zeros, right and below, to full windows.

    ViTDet drops the class token. Here it is in every window, and leaves as the mean of what they make of it: a
    pretrained encoder was trained with one, and without it gives other features.

    Args:
        attention: (b, n, D) -> (b, n, D).
        tokens: (B, 1 + h*w, D), class token first.
        grid: (h, w).
        window: side of a window in patches.

    Returns:
        (B, 1 + h*w, D)

    Example:
        >>> windowed_attention(torch.nn.Identity(), torch.ones(2, 1 + 5 * 7, 8), (5, 7), 3).shape
        torch.Size([2, 36, 8])
    """
    (h, w), (B, _, D) = grid, tokens.shape
    rows, columns = -(-h // window), -(-w // window)
    patches = tokens[:, 1:].reshape(B, h, w, D)
    padded = F.pad(patches, (0, 0, 0, columns * window - w, 0, rows * window - h))
    cut = padded.reshape(B, rows, window, columns, window, D).transpose(2, 3)  # (B, rows, columns, window, window, D)
    class_token = tokens[:, None, :1].expand(B, rows * columns, 1, D)
    windows = torch.cat([class_token, cut.reshape(B, rows * columns, -1, D)], dim=2)
    attended = attention(windows.flatten(0, 1)).reshape(windows.shape)  # (B, windows, 1 + window * window, D)
    cut = attended[:, :, 1:].reshape(B, rows, columns, window, window, D).transpose(2, 3)
    joined = cut.reshape(B, rows * window, columns * window, D)[:, :h, :w]
    return torch.cat([attended[:, :, 0].mean(dim=1, keepdim=True), joined.flatten(1, 2)], dim=1)
