"""The task of pretraining: an autoencoder that reconstructs the hidden patches of random crops."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maezoo.images.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from maezoo.model import Variant, build_mae
from maezoo.training.checkpoint import load_start
from maezoo.training.data import ImageSource
from maezoo.training.masking import MaskDraws, Masking
from maezoo.training.objective import Objective
from maezoo.training.optimizers import Optimizers, pretraining_optimizers
from maezoo.training.recipe import Recipe
from maezoo.training.run import Schedule
from maezoo.training.views import draw_crops, draw_indices, step_generator

__all__ = ["Pretraining"]


class Pretraining:
    """A model that learns to reconstruct, and the batches that it learns from; see `Task`.

    Args:
        recipe: the numbers of the run.
        source: the images.
        device: where to train.
        variant: shape of the model.
        start_from: weights that the recipe starts from.
    """

    def __init__(
        self, recipe: Recipe, source: ImageSource, device: torch.device, variant: Variant, start_from: Path | None
    ) -> None:
        self.recipe, self.source, self.device, self.start_from = recipe, source, device, start_from
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            torch.default_generator.manual_seed(recipe.seed)  # torch.manual_seed would reseed CUDA, too
            model = build_mae(variant, target=recipe.target)
            objective = Objective(model, recipe.normpix_weight, recipe.mask_strategy)
        self.size = variant.img_size
        self.schedule: Schedule = recipe
        self.model = objective.model
        self.masking = Masking(recipe, objective.model, objective.guide)
        self.objective: nn.Module = objective.to(device).train()
        self.optimizers: Optimizers = pretraining_optimizers(self.objective, recipe)
        self.mean = torch.tensor(IMAGENET_MEAN, dtype=torch.float32, device=device).view(1, 3, 1, 1)
        self.std = torch.tensor(IMAGENET_STD, dtype=torch.float32, device=device).view(1, 3, 1, 1)

    def facts(self) -> dict[str, Any]:
        """Return the recipe as plain data."""
        return self.recipe.to_dict()

    def begin(self) -> None:
        """Load the weights that the recipe starts from."""
        load_start(self.start_from, recipe=self.recipe, model=self.model)

    def drawing(self, step: int) -> AbstractContextManager[object]:
        """Return an empty context: the model draws nothing."""
        return nullcontext()

    def batches(self, start: int) -> Iterator[tuple[Tensor, ...]]:
        """Yield the batches from a step on; with an accelerator, the next batch is made meanwhile."""
        steps = range(start, self.recipe.steps)
        if self.device.type == "cpu":  # there a second set of threads costs the first more than it saves
            yield from (self._masked(step, *self._batch(step)) for step in steps)
            return
        with ThreadPoolExecutor(1) as background:
            upcoming = background.submit(self._batch, start)
            for step in steps:
                batch = upcoming.result()
                if step + 1 < self.recipe.steps:
                    upcoming = background.submit(self._batch, step + 1)
                yield self._masked(step, *batch)

    def _masked(self, step: int, images: Tensor, draws: MaskDraws) -> tuple[Tensor, ...]:
        """Add the masks of a step to its images; here, when the step before is done, as they may follow the weights."""
        self.masking.follow(step)
        return images, *self.masking.masks(draws, images, step)

    def _batch(self, step: int) -> tuple[Tensor, MaskDraws]:
        """Make the images (B, 3, H, W) and the draws of a step's masks, functions of seed and step alone."""
        recipe = self.recipe
        generator = step_generator(recipe.seed, step)
        indices = draw_indices(len(self.source), recipe.batch_size, step, recipe.seed)
        crops = draw_crops(recipe.batch_size, recipe.crop, recipe.aspect, generator)
        images = self.source.views(indices, crops, self.size).to(self.device, non_blocking=True)
        draws = self.masking.draw(recipe.batch_size, generator)
        return (images - self.mean) / self.std, draws
