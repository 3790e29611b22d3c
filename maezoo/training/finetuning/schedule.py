"""The steps of fine-tuning, and the rate at each."""

import math
from dataclasses import dataclass

from maezoo.training.finetuning.recipe import FinetuneRecipe

__all__ = ["FinetuneSchedule"]


@dataclass(frozen=True)
class FinetuneSchedule:
    """The steps of a recipe for a number of images; see `maezoo.training.task.Schedule`.

    Example:
        >>> schedule = FinetuneSchedule(FinetuneRecipe(epochs=10, warmup_epochs=1, batch_size=64), 1000)
        >>> schedule.steps, schedule.lr_factor(15)
        (157, 1.0)
    """

    recipe: FinetuneRecipe
    images: int

    @property
    def steps(self) -> int:
        """Number of optimizer steps: the views, rounded up to full batches."""
        return math.ceil(self.recipe.epochs * self.images / self.recipe.batch_size)

    @property
    def batch_size(self) -> int:
        """Images in a step."""
        return self.recipe.batch_size

    @property
    def peak_lr(self) -> float:
        """The head's highest rate: the base rate scaled linearly with the batch."""
        return self.recipe.base_lr * self.recipe.batch_size / 256

    @property
    def clip(self) -> float:
        """Largest norm of the gradient; 0 for any."""
        return self.recipe.clip

    @property
    def ema(self) -> float:
        """Decay of the averaged weights."""
        return self.recipe.ema

    @property
    def precision(self) -> str:
        """Number format of the forward pass."""
        return self.recipe.precision

    def lr_factor(self, step: int) -> float:
        """Return the share of the peak rate at a step from 0: linear warm-up, then a half cosine to `min_lr`."""
        warmup = round(self.recipe.warmup_epochs / self.recipe.epochs * self.steps)
        if step < warmup:
            return (step + 1) / warmup
        cosine = 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, self.steps - warmup)))
        lowest = min(1.0, self.recipe.min_lr / self.peak_lr)
        return lowest + (1 - lowest) * cosine
