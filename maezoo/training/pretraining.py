"""The task of pretraining: an autoencoder that reconstructs the hidden patches of random crops."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maezoo.images.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from maezoo.masks.draw import random_mask
from maezoo.model import Variant, build_mae
from maezoo.training.ahead import made_ahead
from maezoo.training.checkpoint import load_start
from maezoo.training.data import ImageSource, check_enough
from maezoo.training.objective import Objective
from maezoo.training.optimizers import Optimizers, pretraining_optimizers
from maezoo.training.recipe import Recipe
from maezoo.training.run import Schedule
from maezoo.training.views import Blocks, draw_crops, draw_indices, step_generator

__all__ = ["Pretraining"]

_AHEAD = 3  # batches


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
        check_enough(source, recipe.batch_size)
        self.recipe, self.source, self.device, self.start_from = recipe, source, device, start_from
        self.blocks: Blocks | None = getattr(source, "blocks", None)
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            torch.default_generator.manual_seed(recipe.seed)  # torch.manual_seed would reseed CUDA, too
            objective = Objective(build_mae(variant, target=recipe.target), recipe.normpix_weight)
        self.size = variant.img_size
        self.schedule: Schedule = recipe
        self.model = objective.model
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
        """Yield the batches from a step on; the next ones are made meanwhile, where that costs the step nothing."""
        steps = range(start, self.recipe.steps)
        # On a CPU, decoding takes from the step what it saves; waiting for a network does not.
        waits = self.device.type != "cpu" or getattr(self.source, "is_remote", False)
        return made_ahead(self._batch, steps, _AHEAD if waits else 0)

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Make the batch of a step, a function of seed and step alone: images (B, 3, H, W) and a mask (B, N)."""
        recipe = self.recipe
        generator = step_generator(recipe.seed, step)
        indices = draw_indices(len(self.source), recipe.batch_size, step, recipe.seed, self.blocks)
        crops = draw_crops(recipe.batch_size, recipe.crop, recipe.aspect, generator)
        images = self.source.views(indices, crops, self.size).to(self.device, non_blocking=True)
        mask = random_mask(recipe.batch_size, self.model.grid_size, recipe.mask_ratio, generator=generator)
        return (images - self.mean) / self.std, mask
