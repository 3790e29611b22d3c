"""How well a classifier does on labelled images: its answers, and the shares that are right."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maezoo.errors import DataError
from maezoo.images.conversion import normalise
from maezoo.images.preprocessing import Preprocessing
from maezoo.training.sources.labelled import LabelledImages

__all__ = ["Answers", "answer"]


@dataclass(frozen=True)
class Answers:
    """What a classifier answers to labelled images that could be read.

    Attributes:
        logits: (n, classes) float32 on the CPU.
        targets: (n,) int64, the right classes.
        numbers: (n,) int64, which images they are.
    """

    logits: Tensor
    targets: Tensor
    numbers: Tensor

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.targets)

    @property
    def accuracy(self) -> float:
        """The share of images whose class has the highest logit."""
        return self.share_within(1)

    @property
    def loss(self) -> float:
        """The mean cross-entropy."""
        return F.cross_entropy(self.logits, self.targets).item()

    def ranks(self) -> Tensor:
        """Return the place of each right class in the order of the answers, (n,) int64, from 0."""
        right = self.logits.gather(1, self.targets[:, None])  # (n, 1)
        return (self.logits > right).sum(dim=1)

    def share_within(self, places: int) -> float:
        """Return the share of images whose class is among the first answers.

        Example:
            >>> Answers(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]), torch.arange(2)).share_within(1)
            0.5
        """
        return (self.ranks() < places).float().mean().item()


@torch.inference_mode()
def answer(
    model: nn.Module,
    images: LabelledImages,
    preprocess: Preprocessing,
    *,
    in_chans: int = 3,
    batch_size: int = 64,
    dtype: torch.dtype = torch.float32,
    report: Callable[[int], Any] | None = None,
) -> Answers:
    """Let a classifier answer to labelled images.

    Args:
        model: gives logits (B, classes); its mode is put back afterwards.
        images: of its classes; those that cannot be read are left out, see their `unreadable`.
        preprocess: how they are prepared.
        in_chans: channels of the model's input.
        batch_size: images at a time.
        dtype: number format of the forward pass (autocast).
        report: called with the number of images done.

    Raises:
        DataError: none of the images can be read.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    logits, numbers = list[Tensor](), list[Tensor]()
    done = 0
    try:
        for pixels, some in images.inputs(preprocess, in_chans, batch_size):
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                logits.append(model(normalise(pixels.to(device), preprocess)).float().cpu())
            numbers.append(some)
            done += len(some)
            if report:
                report(done)
    finally:
        model.train(was_training)
    if not numbers:
        raise DataError(f"none of the {len(images)} images of {images.source} can be read.", path=images.source)
    which = torch.cat(numbers)
    return Answers(torch.cat(logits), torch.tensor(images.targets)[which], which)
