"""Trivial ways to fill hidden patches: what a decoder has to beat, and the measure they share."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from maezoo.errors import MaskError, MissingExtraError
from maezoo.masks.visible import check_mask
from maezoo.model.patches import grid_of, patchify, unpatchify

__all__ = ["harmonic_fill", "hidden_error", "mean_fill", "nearest_fill"]


def hidden_error(filled: Tensor, images: Tensor, mask: Tensor, patch_size: int) -> Tensor:
    """Return the mean squared error over the hidden pixels of each image.

    Args:
        filled: (B, C, H, W), what was put there.
        images: (B, C, H, W), what is there.
        mask: (B, N) bool, True = hidden.
        patch_size: patch side P.

    Returns:
        (B,); 0 where nothing is hidden.

    Example:
        >>> images = torch.zeros(1, 3, 4, 4)
        >>> hidden_error(images + 0.5, images, torch.tensor([[True, False, False, False]]), 2)
        tensor([0.2500])
    """
    error = (patchify(filled, patch_size) - patchify(images, patch_size)).square().mean(dim=2)  # (B, N)
    mask = check_mask(mask, *error.shape)
    return (error * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def mean_fill(images: Tensor, mask: Tensor, patch_size: int) -> Tensor:
    """Fill hidden patches with the mean colour of the visible pixels.

    Args:
        images: (B, C, H, W); hidden pixels are not looked at.
        mask: (B, N) bool, True = hidden, at least one patch of each image visible.
        patch_size: patch side P.

    Returns:
        (B, C, H, W), the visible pixels unchanged.

    Raises:
        MaskError: a mask of another shape, or an image with nothing visible.

    Example:
        >>> images = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
        >>> mean_fill(images, torch.tensor([[False, False, True, True]]), 1)[0, 0, 1]
        tensor([0.5000, 0.5000])
    """
    return _fill(images, mask, patch_size, lambda image, hidden: image[:, ~hidden].mean(dim=1)[:, None])


def nearest_fill(images: Tensor, mask: Tensor, patch_size: int) -> Tensor:
    """Fill each hidden patch with the mean colour of the nearest visible patch.

    Arguments, return and errors are those of `mean_fill`.

    Example:
        >>> images = torch.tensor([[[[1.0, 0.0, 0.0, 0.5]]]])
        >>> nearest_fill(images, torch.tensor([[False, True, True, False]]), 1)
        tensor([[[[1.0000, 1.0000, 0.5000, 0.5000]]]])
    """
    P = patch_size
    h, w = grid_of((images.shape[2], images.shape[3]), P)
    mask = _checked(images, mask, (h, w))
    rows, columns = (torch.arange(side, dtype=torch.float32, device=mask.device) for side in (h, w))
    where = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1).view(-1, 2)
    distance = torch.cdist(where, where)  # (N, N)
    patches = patchify(images, P)
    colour = patches.reshape(len(patches), h * w, P * P, -1).mean(dim=2)  # (B, N, C)
    filled = patches.clone()
    for index, hidden in enumerate(mask):
        visible = (~hidden).nonzero().flatten()
        nearest = visible[distance[hidden][:, visible].argmin(dim=1)]
        filled[index, hidden] = colour[index, nearest].repeat(1, P * P)
    return unpatchify(filled, P, (h, w))


def harmonic_fill(images: Tensor, mask: Tensor, patch_size: int) -> Tensor:
    """Fill hidden patches with the smoothest surface through the visible pixels: Laplace's equation, solved exactly.

    Arguments, return and errors are those of `mean_fill`, and also:

    Raises:
        MissingExtraError: SciPy is not installed.

    Example:
        >>> images = torch.tensor([[[[0.0, 0.0, 0.0, 0.9]]]])
        >>> harmonic_fill(images, torch.tensor([[False, True, True, False]]), 1)
        tensor([[[[0.0000, 0.3000, 0.6000, 0.9000]]]])
    """
    return _fill(images, mask, patch_size, _solve_laplace)


def _fill(images: Tensor, mask: Tensor, patch_size: int, filler: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Fill image by image: `filler` takes (C, H, W) and a pixel mask (H, W), and gives (C, hidden pixels) or (C, 1)."""
    grid = grid_of((images.shape[2], images.shape[3]), patch_size)
    mask = _checked(images, mask, grid)
    pixels = mask.view(-1, *grid).repeat_interleave(patch_size, 1).repeat_interleave(patch_size, 2)  # (B, H, W)
    filled = images.clone()
    for image, hidden in zip(filled, pixels, strict=True):
        if hidden.any():
            image[:, hidden] = filler(image, hidden)
    return filled


def _checked(images: Tensor, mask: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return the mask as (B, N), or say why it cannot be filled around."""
    mask = check_mask(mask, images.shape[0], grid[0] * grid[1])
    if bool(mask.all(dim=1).any()):
        raise MaskError("nothing is visible to fill from; hide at most all patches but one.")
    return mask.to(images.device)


def _solve_laplace(image: Tensor, hidden: Tensor) -> Tensor:
    """Solve Laplace's equation on the hidden pixels; the borders of the picture reflect. Gives (C, hidden pixels)."""
    try:
        from scipy.sparse import coo_array, csc_array
        from scipy.sparse.linalg import splu
    except ImportError as error:
        raise MissingExtraError.for_extra("eval", "harmonic filling") from error
    unknown = hidden.cpu().numpy()
    values = image.cpu().double().numpy()
    number = np.cumsum(unknown).reshape(unknown.shape) - 1
    count = int(unknown.sum())
    rows, columns, degree = [], [], np.zeros(count)
    known_sum = np.zeros((count, values.shape[0]))
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        inside = np.ones_like(unknown)
        np.moveaxis(inside, axis, 0)[-1 if step > 0 else 0] = False  # no neighbour beyond the border
        here = unknown & inside
        neighbour_unknown = np.roll(unknown, -step, axis)[here]
        index, neighbour = number[here], np.roll(number, -step, axis)[here]
        degree[index] += 1
        rows.append(index[neighbour_unknown])
        columns.append(neighbour[neighbour_unknown])
        known = index[~neighbour_unknown]
        known_sum[known] += np.roll(values, -step, axis + 1)[:, here].T[~neighbour_unknown]
    row, column = np.concatenate([*rows, np.arange(count)]), np.concatenate([*columns, np.arange(count)])
    data = np.concatenate([-np.ones(len(row) - count), degree])
    system = csc_array(coo_array((data, (row, column)), shape=(count, count)))
    return torch.from_numpy(splu(system).solve(known_sum).T).to(image)
