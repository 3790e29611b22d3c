"""Sin-cos positions in two and three dimensions, and positions of any kind resized to any grid."""

import torch
from timm.layers import resample_abs_pos_embed
from torch import Tensor
from torch.nn import functional as F

from maezoo.errors import ArgumentError, SizeError
from maezoo.vocabulary import Resampling

__all__ = ["first_frame_positions", "resize_positions", "sincos_positions"]


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
    rows, columns = _raster(grid_size)
    patches = torch.cat([_waves(columns, dim // 2), _waves(rows, dim // 2)], dim=1)  # (N, dim)
    return torch.cat([patches.new_zeros(1, dim), patches])[None].float()  # (1, 1 + N, dim)


def first_frame_positions(grid_size: tuple[int, int], dim: int) -> Tensor:
    """Make the fixed 3-D sin-cos positions of a video's first frame, with a zero row for the class token in front.

    Of sixteen parts of the channels six code the column, six the row and four the frame, as in Prithvi-EO
    (https://arxiv.org/abs/2412.02732); the frame's part is the same in each row.

    Args:
        grid_size: (h, w) in patches.
        dim: channels, a multiple of 16.

    Returns:
        (1, 1 + h*w, dim) float32, raster order.

    Raises:
        ArgumentError: `dim` is not a multiple of 16.

    Example:
        >>> first_frame_positions((2, 3), 32).shape
        torch.Size([1, 7, 32])
    """
    if dim % 16:
        raise ArgumentError(f"3-D sin-cos positions need a width that is a multiple of 16, not {dim}.")
    rows, columns = _raster(grid_size)
    part = dim // 16
    waves = [_waves(columns, 6 * part), _waves(rows, 6 * part), _waves(torch.zeros_like(rows), 4 * part)]
    patches = torch.cat(waves, dim=1)  # (N, dim)
    return torch.cat([patches.new_zeros(1, dim), patches])[None].float()  # (1, 1 + N, dim)


def _raster(grid_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the row and the column of each patch, both (N,) float64."""
    h, w = grid_size
    rows, columns = torch.meshgrid(
        torch.arange(h, dtype=torch.float64, device="cpu"),
        torch.arange(w, dtype=torch.float64, device="cpu"),
        indexing="ij",
    )
    return rows.reshape(-1), columns.reshape(-1)


def _waves(places: Tensor, dim: int) -> Tensor:
    """Code places along one axis as sines, then cosines: (N,) -> (N, dim)."""
    exponents = torch.arange(dim // 2, dtype=torch.float64, device="cpu") / (dim // 2)
    angles = places[:, None] * 10000.0**-exponents
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def resize_positions(
    positions: Tensor,
    old_grid: tuple[int, int],
    new_grid: tuple[int, int],
    *,
    prefix: int = 1,
    resampling: Resampling = "antialias",
) -> Tensor:
    """Resize positions from one grid to another in two dimensions, the rows of class tokens untouched.

    Args:
        positions: (1, prefix + h*w, D) for `old_grid`.
        old_grid: (h, w) they are for.
        new_grid: (h, w) they are wanted for.
        prefix: how many rows in front belong to class tokens.
        resampling: how; see `Facts`. Weights that were trained with one give other numbers with another.

    Returns:
        (1, prefix + h*w, D) for `new_grid`; `positions` itself when the grids agree.

    Raises:
        SizeError: `"leading"` positions, and a grid that is no shorter strip.

    Example:
        >>> resize_positions(sincos_positions((4, 4), 8), (4, 4), (2, 6)).shape
        torch.Size([1, 13, 8])
    """
    if tuple(old_grid) == tuple(new_grid):
        return positions
    if resampling == "leading":
        return _leading(positions, old_grid, new_grid, prefix)
    if resampling != "antialias":
        return _interpolated(positions, old_grid, new_grid, prefix, align_corners=resampling == "aligned")
    if positions.device.type == "mps":  # the antialiased bicubic kernel does not exist there (pytorch#141287)
        return resize_positions(positions.cpu(), old_grid, new_grid, prefix=prefix).to(positions.device)
    resized: Tensor = resample_abs_pos_embed(
        positions, new_size=list(new_grid), old_size=list(old_grid), num_prefix_tokens=prefix
    )
    return resized


def _interpolated(
    positions: Tensor, old_grid: tuple[int, int], new_grid: tuple[int, int], prefix: int, *, align_corners: bool
) -> Tensor:
    """Resize positions bicubically, not antialiased."""
    grid = positions[:, prefix:].float().reshape(1, *old_grid, -1).permute(0, 3, 1, 2)  # (1, D, h, w)
    grid = F.interpolate(grid, size=new_grid, mode="bicubic", align_corners=align_corners)
    patches = grid.flatten(2).transpose(1, 2).to(positions.dtype)  # (1, N, D)
    return torch.cat([positions[:, :prefix], patches], dim=1)


def _leading(positions: Tensor, old_grid: tuple[int, int], new_grid: tuple[int, int], prefix: int) -> Tensor:
    """Take the first positions of a strip for a shorter one."""
    (h, w), (rows, columns) = old_grid, new_grid
    if rows != h or h != 1 or columns > w:
        raise SizeError(
            f"these weights are for strips of 1 x {w} patches or fewer; got {rows} x {columns}.",
            expected=(1, w),
            found=tuple(new_grid),
        )
    return positions[:, : prefix + columns]
