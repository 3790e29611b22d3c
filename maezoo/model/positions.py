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
    if any(isinstance(side, torch.SymInt) for side in new_grid):
        return _resize_by_matrices(positions, old_grid, new_grid)
    if tuple(old_grid) == tuple(new_grid):
        return positions
    if positions.device.type == "mps":  # the antialiased bicubic kernel does not exist there (pytorch#141287)
        return resize_positions(positions.cpu(), old_grid, new_grid).to(positions.device)
    resized: Tensor = resample_abs_pos_embed(positions, new_size=list(new_grid), old_size=list(old_grid))
    return resized


def _resize_by_matrices(positions: Tensor, old_grid: tuple[int, int], new_grid: tuple[int, int]) -> Tensor:
    """Resize positions to a grid whose size is a symbol, in a graph for any size: one matrix for rows, one for columns.

    A branch for the native grid would be decided by the example that the graph is traced with, and the operator for
    antialiased bicubic resizing is missing in some engines. Every engine multiplies matrices.
    """
    (h, w), (new_h, new_w) = old_grid, new_grid
    grid = positions[:, 1:].float().reshape(h, w, -1)  # (h, w, D)
    columns = _bicubic_matrix(w, new_w, positions.device) @ grid  # (h, w', D)
    rows = _bicubic_matrix(h, new_h, positions.device) @ columns.reshape(h, -1)  # (h', w' * D)
    resized = rows.reshape(1, new_h * new_w, positions.shape[2])
    return torch.cat([positions[:, :1], resized.to(positions.dtype)], dim=1)


def _bicubic_matrix(old: int, new: int, device: torch.device) -> Tensor:
    """Return the weights (new, old) of antialiased bicubic resizing (Keys 1981, a = -0.5), as PyTorch and Pillow do."""
    places = torch.arange(new, device=device, dtype=torch.float32)[:, None] + 0.5
    scale = old / (places.new_zeros(1) + new)  # a tensor: a quotient of symbols is not known to every engine
    x = (torch.arange(old, device=device, dtype=torch.float32)[None] + 0.5 - places * scale) / scale.clamp(min=1)
    x = x.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))
    return weights / weights.sum(dim=1, keepdim=True)
