"""What is measured of the models: the tasks, their work, their inputs, and when two outputs are the same."""

from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from maezoo.masks.draw import random_mask
from maezoo.masks.visible import visible_indices
from maezoo.model import Variant

__all__ = ["PRECISIONS", "TASKS", "Difference", "Inputs", "Precision", "Task", "compare", "flops"]

Task = Literal["features", "encode", "reconstruct", "train"]
Precision = Literal["float32", "bfloat16", "int8", "default"]

TASKS: dict[Task, str] = {
    "features": "class token of the whole image",
    "encode": "tokens of the visible quarter",
    "reconstruct": "encode the visible quarter, decode every patch",
    "train": "forward, backward, AdamW",
}
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8", "default")
MASK_RATIO = 0.75

_CLOSE = 1e-4  # relative difference of float32 outputs on the CPU
_CLOSE_CUDA = 1e-3
_ALIKE = 0.99  # cosine of lower precision to float32
_LOSS = 0.02  # relative difference of a loss in bfloat16


@dataclass(frozen=True)
class Inputs:
    """One batch.

    Attributes:
        images: (B, 3, H, W) float32, as a normalised photograph has them.
        mask: (B, N) bool, True = hidden, three quarters of each row.
        visible: (B, K) int64, the visible patches in raster order.
        noise: (B, N) float32 from which transformers draws just this mask, the visible patches in raster order.
        converted: the same in other number formats, as they were asked for.
    """

    images: Tensor
    mask: Tensor
    visible: Tensor
    noise: Tensor
    converted: dict[torch.dtype, "Inputs"] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def make(cls, variant: Variant, batch: int, device: torch.device) -> "Inputs":
        """Make the batch of a size; the same one at every call."""
        images = torch.randn(batch, 3, variant.img_size, variant.img_size, generator=torch.Generator().manual_seed(1))
        side = variant.img_size // variant.patch_size
        mask = random_mask(batch, (side, side), MASK_RATIO, seed=1)
        noise = mask.float() + torch.arange(side * side) / side**3
        return cls(images.to(device), mask.to(device), visible_indices(mask).to(device), noise.to(device))

    def to(self, dtype: torch.dtype) -> "Inputs":
        """Return the batch with images of another number format, converted once: each is timed on what it takes."""
        if dtype not in self.converted:
            self.converted[dtype] = replace(self, images=self.images.to(dtype))
        return self.converted[dtype]


@dataclass(frozen=True)
class Difference:
    """How far an output is from the reference.

    Attributes:
        measure: `"relative"` (largest difference over largest value) or `"cosine"` (the least over the batch).
        value: of that measure.
        fine: whether the output passes for the same.
    """

    measure: Literal["relative", "cosine"]
    value: float
    fine: bool

    def __str__(self) -> str:
        return f"{self.value:.0e}" if self.measure == "relative" else f"cos {self.value:.4f}"


def compare(output: Tensor, reference: Tensor, precision: Precision) -> Difference:
    """Compare an output with the float32 reference: relatively in float32 and for a loss, else by cosine.

    Example:
        >>> compare(torch.ones(2, 3), torch.ones(2, 3), "float32")
        Difference(measure='relative', value=0.0, fine=True)
    """
    cuda = output.is_cuda
    output, reference = output.detach().float().cpu(), reference.detach().float().cpu()
    if output.shape != reference.shape:
        return Difference("relative", float("inf"), False)
    if precision == "float32" or output.ndim == 0:
        value = float((output - reference).abs().max() / reference.abs().max())
        close = _LOSS if precision != "float32" else _CLOSE_CUDA if cuda else _CLOSE
        return Difference("relative", value, value <= close)
    cosine = float(F.cosine_similarity(output.flatten(1), reference.flatten(1)).min())
    return Difference("cosine", cosine, cosine >= _ALIKE)


def flops(variant: Variant, task: Task) -> float:
    """Return the operations for one image in the matrix products that a task needs; an add and a multiply are two.

    Hidden patches need no embedding; a training step counts three forwards. What a contestant leaves out, or does on
    top, does not change the count.

    Example:
        >>> from maezoo.model import VARIANTS
        >>> [round(flops(VARIANTS["mae_vit_base"], task) / 1e9, 1) for task in ("features", "encode", "reconstruct")]
        [35.1, 8.6, 19.4]
    """
    patches = (variant.img_size // variant.patch_size) ** 2
    pixels = 3 * variant.patch_size**2
    seen = patches if task == "features" else patches - round(patches * MASK_RATIO)
    encoder = 2 * seen * pixels * variant.embed_dim + _blocks(variant.embed_dim, variant.depth, 1 + seen)
    if task in ("features", "encode"):
        return encoder
    width = variant.decoder_dim
    decoder = (
        2 * (1 + seen) * variant.embed_dim * width
        + _blocks(width, variant.decoder_depth, 1 + patches)
        + 2 * (1 + patches) * width * pixels
    )
    return (encoder + decoder) * (3 if task == "train" else 1)


def _blocks(width: int, depth: int, tokens: int) -> float:
    """Count what transformer blocks do to a row of tokens: four projections, a fourfold MLP, attention."""
    return depth * (24 * tokens * width**2 + 4 * tokens**2 * width)
