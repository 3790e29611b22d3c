"""The masks of a pretraining step: random numbers from seed and step, and scores of the images for two strategies.

Draws are made for all images of a step, whatever the number of processes; a process takes the rows of its images. A
mask then depends on the seed, the step, the place of the image in the step, the image, and the weights of the guide.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from maezoo.masks.draw import hidden_count, mask_from_noise
from maezoo.masks.strategies import draw_mask
from maezoo.model import MaskedAutoencoder
from maezoo.training.masking.attention_guide import AttentionGuide
from maezoo.training.masking.loss_guide import LossGuide
from maezoo.training.recipe import Recipe

__all__ = ["Guide", "MaskDraws", "Masking", "find_guide"]

HINTS = 0.1
"""Share of the patches that are candidates besides those to be hidden: the most attended ones are the candidates, and
as many of them, chosen at random, stay visible."""

HARDEST = 0.5
"""Share of the hidden patches that are the hardest ones in the last step, the others being random; it grows from 0 in
the first step."""

_TOGETHER = {"cpu": 8}  # images that are scored at a time: a batch cut elsewhere could differ in the last bits
_TOGETHER_ELSEWHERE = 64


class Guide(Protocol):
    """Scores patches, with weights that follow those of the model."""

    def follow(self, model: MaskedAutoencoder, step: int) -> None:
        """Follow the weights that a step starts from."""

    def scores(self, images: Tensor) -> Tensor:
        """Score the patches of (B, C, H, W) normalised images: (B, N)."""


def find_guide(strategy: str, model: MaskedAutoencoder) -> AttentionGuide | LossGuide | None:
    """Make the module that scores patches for a strategy, if it needs one; it is saved and resumed with the run."""
    if strategy == "attention":
        return AttentionGuide(model)
    return LossGuide(model) if strategy == "hard" else None


@dataclass(frozen=True)
class MaskDraws:
    """The random numbers of the images of a step.

    Attributes:
        hidden: (B, N), the bool mask itself; float32 in [0, 1) for a strategy that looks at the images.
        predicted: (B, N) float32 in [0, 1), from which the hidden patches that are predicted follow; or none.
    """

    hidden: Tensor
    predicted: Tensor | None

    def rows(self, rows: slice) -> "MaskDraws":
        """Return the draws of some of the images."""
        return MaskDraws(self.hidden[rows], None if self.predicted is None else self.predicted[rows])


class Masking:
    """The masks of a run: one object for all strategies.

    Args:
        recipe: strategy, ratio, cells, the share that is predicted, and the number of steps.
        model: the autoencoder that is trained.
        guide: as `find_guide` makes it.

    Example:
        >>> from maezoo.model import build_mae, find_variant
        >>> model = build_mae(find_variant("mae_vit_tiny"))
        >>> masking = Masking(Recipe(mask_strategy="cells"), model, None)
        >>> draws = masking.draw(2, torch.Generator().manual_seed(0))
        >>> masking.masks(draws, torch.randn(2, 3, 96, 96), step=0)[0].sum(dim=1)
        tensor([108, 108])
    """

    def __init__(self, recipe: Recipe, model: MaskedAutoencoder, guide: Guide | None) -> None:
        self._recipe, self._model, self._guide = recipe, model, guide

    def draw(self, batch: int, generator: torch.Generator) -> MaskDraws:
        """Draw for all images of a step; the random strategy draws the same masks as `random_mask`."""
        recipe, grid = self._recipe, self._model.grid_size
        size = (batch, grid[0] * grid[1])
        hidden = (
            _noise(size, generator)
            if self._guide
            else draw_mask(
                recipe.mask_strategy, batch, grid, recipe.mask_ratio, cell=recipe.mask_cell, generator=generator
            )
        )
        return MaskDraws(hidden, None if recipe.predict == 1 else _noise(size, generator))

    def follow(self, step: int) -> None:
        """Let the guide follow the weights: once a step, before its masks are made."""
        if self._guide:
            self._guide.follow(self._model, step)

    def masks(self, draws: MaskDraws, images: Tensor, step: int) -> tuple[Tensor, ...]:
        """Make the masks of some images of a step.

        Args:
            draws: of these images.
            images: (B, C, H, W), normalised.
            step: from 0.

        Returns:
            The mask, (B, N) bool on the CPU, exactly `round(ratio * N)` True in each row. If the decoder predicts
            only a part of the hidden patches, a second one: those that it predicts, at least one in each row.
        """
        ratio, N = self._recipe.mask_ratio, draws.hidden.shape[1]
        mask = draws.hidden
        if self._guide:
            first = _first(_score(self._guide, images), self._preferred(N, step))
            mask = mask_from_noise(first + draws.hidden, ratio)
        if draws.predicted is None:
            return (mask,)
        hidden = hidden_count(N, ratio)
        count = min(hidden, max(1, round(self._recipe.predict * hidden)))
        return mask, mask_from_noise(mask + draws.predicted, count / N)

    def _preferred(self, patches: int, step: int) -> int:
        """Return how many patches of the highest score are hidden before all others, as far as the count goes."""
        hidden = hidden_count(patches, self._recipe.mask_ratio)
        if self._recipe.mask_strategy == "attention":
            return hidden + round(HINTS * patches)
        return round(HARDEST * step / max(1, self._recipe.steps - 1) * hidden)


def _noise(size: tuple[int, int], generator: torch.Generator) -> Tensor:
    return torch.rand(size, generator=generator, dtype=torch.float32, device="cpu")


def _score(guide: Guide, images: Tensor) -> Tensor:
    """Score the patches of images, few at a time: (B, N) on the CPU."""
    together = _TOGETHER.get(images.device.type, _TOGETHER_ELSEWHERE)
    return torch.cat([guide.scores(part) for part in torch.split(images, together)]).cpu()


def _first(scores: Tensor, count: int) -> Tensor:
    """Mark the patches of the highest scores in each row: (B, N) bool, `count` True in each, or all."""
    order = scores.argsort(dim=1, descending=True, stable=True)
    return torch.zeros(scores.shape, dtype=torch.bool, device="cpu").scatter(1, order[:, :count], True)
