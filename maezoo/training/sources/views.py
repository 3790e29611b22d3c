"""Random resized crops and flips, drawn from a seed and a step alone so that a resumed run sees the same views."""

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "Blocks",
    "Crops",
    "central_crops",
    "crop_batch",
    "crop_box",
    "draw_crops",
    "draw_indices",
    "step_generator",
]


@dataclass(frozen=True)
class Crops:
    """One random crop for each image of a batch, in units that fit any image size.

    Attributes:
        area: (B,) share of the image's area.
        aspect: (B,) width over height.
        left: (B,) position in the free space, 0 to 1.
        top: (B,) likewise.
        flip: (B,) bool, mirrored left to right.
    """

    area: Tensor
    aspect: Tensor
    left: Tensor
    top: Tensor
    flip: Tensor

    def take(self, rows: slice) -> "Crops":
        """Return the crops of some of the images."""
        return Crops(self.area[rows], self.aspect[rows], self.left[rows], self.top[rows], self.flip[rows])


@dataclass(frozen=True, eq=False)
class Blocks:
    """Images that are read together, as those of one row group.

    Attributes:
        of_image: (n,) int64, the number of each image's block, from 0.
        together: so many blocks at a time are shuffled into each other.
    """

    of_image: Tensor
    together: int


def step_generator(seed: int, step: int) -> torch.Generator:
    """Return the generator of one step, the same whenever and wherever it is asked for."""
    return torch.Generator(device="cpu").manual_seed((seed * 1_000_003 + step) % 2**63)


def draw_indices(images: int, batch_size: int, step: int, seed: int, blocks: Blocks | None = None) -> Tensor:
    """Return which images a step shows: each epoch is one permutation, and batches run on across epochs.

    Args:
        images: how many there are.
        batch_size: of the step, all processes together.
        step: from 0.
        seed: of the order.
        blocks: of images that are better read together: blocks come in a random order, and some consecutive ones are
            shuffled into each other.

    Example:
        >>> sorted(torch.cat([draw_indices(6, 4, step, seed=0) for step in range(3)]).tolist())
        [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    """
    positions = range(step * batch_size, (step + 1) * batch_size)
    return torch.stack(
        [_epoch_order(images, position // images, seed, blocks)[position % images] for position in positions]
    )


@functools.lru_cache(maxsize=2)
def _epoch_order(images: int, epoch: int, seed: int, blocks: Blocks | None = None) -> Tensor:
    """Return the permutation of one epoch."""
    generator = torch.Generator(device="cpu").manual_seed((seed + 7919 * (epoch + 1)) % 2**63)
    order = torch.randperm(images, generator=generator, dtype=torch.int64, device="cpu")
    if blocks is None:
        return order
    count = int(blocks.of_image.max()) + 1
    places = torch.randperm(count, generator=generator, dtype=torch.int64, device="cpu")  # of each block
    windows = places[blocks.of_image] // blocks.together  # (n,)
    return order[windows[order].argsort(stable=True)]


def draw_crops(batch: int, area: tuple[float, float], aspect: tuple[float, float], generator: torch.Generator) -> Crops:
    """Draw random resized crops (paper, appendix A.1): area uniform, aspect log-uniform, half of them mirrored."""
    draws = torch.rand(5, batch, generator=generator, dtype=torch.float32, device="cpu")
    low, high = math.log(aspect[0]), math.log(aspect[1])
    return Crops(
        area=area[0] + draws[0] * (area[1] - area[0]),
        aspect=(low + draws[1] * (high - low)).exp(),
        left=draws[2],
        top=draws[3],
        flip=draws[4] < 0.5,
    )


def central_crops(batch: int) -> Crops:
    """Return crops of the middle, as large as a square of the image's area can be in it."""
    one = torch.ones(batch, dtype=torch.float32, device="cpu")
    return Crops(area=one, aspect=one, left=one / 2, top=one / 2, flip=one < 0)


def crop_box(
    area: float, aspect: float, left: float, top: float, width: int, height: int
) -> tuple[float, float, float, float]:
    """Return the part of an image that a crop shows, as left, top, right and bottom in pixels.

    Args:
        area: share of the image's area.
        aspect: width over height.
        left: position in the free space, 0 to 1.
        top: likewise.
        width: of the image.
        height: of the image.

    Example:
        >>> crop_box(0.25, 1.0, 0.0, 1.0, 80, 80)
        (0.0, 40.0, 40.0, 80.0)
    """
    pixels = area * width * height
    w, h = min(math.sqrt(pixels * aspect), width), min(math.sqrt(pixels / aspect), height)
    x, y = left * (width - w), top * (height - h)
    return x, y, min(x + w, width), min(y + h, height)


def crop_batch(images: Tensor, crops: Crops, size: int | tuple[int, int]) -> Tensor:
    """Cut one crop from each image and resize it bilinearly.

    Args:
        images: (B, C, H, W) uint8.
        crops: one for each image.
        size: side of the result in pixels, or its height and width.

    Returns:
        (B, C, size, size) float32 in [0, 1].
    """
    H, W = images.shape[-2:]
    rows, columns = (size, size) if isinstance(size, int) else size
    shrink = min(H / rows, W / columns)
    pixels = crops.area * H * W
    width = (pixels * crops.aspect).sqrt().clamp(max=W) / W  # share of the width
    height = (pixels / crops.aspect).sqrt().clamp(max=H) / H
    centre_x = (2 * crops.left - 1) * (1 - width)  # in [-1, 1]
    centre_y = (2 * crops.top - 1) * (1 - height)
    width = torch.where(crops.flip, -width, width)
    zero = torch.zeros_like(width)
    theta = torch.stack([width, zero, centre_x, zero, height, centre_y], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(theta.to(images.device), [*images.shape[:2], rows, columns], align_corners=False)
    source = images.float() / 255
    if shrink >= 2:  # bilinear sampling alone would alias
        source = F.interpolate(source, scale_factor=1 / shrink * 1.5, mode="bilinear", antialias=True)
    return F.grid_sample(source, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
