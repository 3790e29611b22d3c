"""Two-dimensional sin-cos positions, resized to any grid."""

import torch
from timm.layers import resample_abs_pos_embed
from torch import Tensor

from maezoo.errors import ArgumentError

__all__ = ["resize_positions", "sincos_positions"]


def sincos_positions(grid_size: tuple[int, int], dim: int) -> Tensor:
    """Make fixed 2-D sin-cos positions for a grid, with a zero row for the class token in front.

    The first half of the channels codes the column, the second half the row; each half holds sines, then cosines,
    at wavelengths in geometric progression from 2π to 10000·2π (paper, appendix A; Vaswani et al. 2017, §3.5).

    Args:
        grid_size: (h, w) in patches.
        dim: channels, a multiple of 4.

    Returns:
        (1, 1 + h*w, dim) float32, raster order.

    Raises:
        ArgumentError: `dim` is not a multiple of 4.

    Example:
        >>> sincos_positions((2, 3), 8).shape
        torch.Size([1, 7, 8])
    """
    if dim % 4:
        raise ArgumentError(f"2-D sin-cos positions need a width that is a multiple of 4, not {dim}.")
    h, w = grid_size
    rows, columns = torch.meshgrid(
        torch.arange(h, dtype=torch.float64, device="cpu"),
        torch.arange(w, dtype=torch.float64, device="cpu"),
        indexing="ij",
    )
    exponents = torch.arange(dim // 4, dtype=torch.float64, device="cpu") / (dim // 4)
    frequencies = 10000.0**-exponents
    halves = [
        wave(axis.reshape(-1, 1) * frequencies)  # (N, dim/4)
        for axis in (columns, rows)
        for wave in (torch.sin, torch.cos)
    ]
    patches = torch.cat(halves, dim=1)  # (N, dim)
    return torch.cat([patches.new_zeros(1, dim), patches])[None].float()  # (1, 1 + N, dim)


def resize_positions(positions: Tensor, old_grid: tuple[int, int], new_grid: tuple[int, int]) -> Tensor:
    """Resize positions from one grid to another in two dimensions (bicubic, antialiased), the class row untouched.

    Args:
        positions: (1, 1 + h*w, D) for `old_grid`.
        old_grid: (h, w) they are for.
        new_grid: (h, w) they are wanted for.

    Returns:
        (1, 1 + h*w, D) for `new_grid`; `positions` itself when the grids agree.

    Example:
        >>> resize_positions(sincos_positions((4, 4), 8), (4, 4), (2, 6)).shape
        torch.Size([1, 13, 8])
    """
    if tuple(old_grid) == tuple(new_grid):
        return positions
    if positions.device.type == "mps":  # the antialiased bicubic kernel does not exist there (pytorch#141287)
        return resize_positions(positions.cpu(), old_grid, new_grid).to(positions.device)
    resized: Tensor = resample_abs_pos_embed(positions, new_size=list(new_grid), old_size=list(old_grid))
    return resized
