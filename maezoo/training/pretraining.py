"""The task of pretraining: an autoencoder that reconstructs the hidden patches of random crops."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maezoo.images.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from maezoo.masks.draw import random_mask
from maezoo.model import Variant, build_mae
from maezoo.training.checkpoint import load_start
from maezoo.training.data import ImageSource
from maezoo.training.objective import Objective
from maezoo.training.optimizers import Optimizers, pretraining_optimizers
from maezoo.training.recipe import Recipe
from maezoo.training.run import Schedule
from maezoo.training.views import central_crops, draw_crops, draw_indices, step_generator
from maezoo.training.watching.watch import Subject

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
        """Yield the batches from a step on; with an accelerator, the next batch is made meanwhile."""
        steps = range(start, self.recipe.steps)
        if self.device.type == "cpu":  # there a second set of threads costs the first more than it saves
            yield from (self._batch(step) for step in steps)
            return
        with ThreadPoolExecutor(1) as background:
            upcoming = background.submit(self._batch, start)
            for step in steps:
                batch = upcoming.result()
                if step + 1 < self.recipe.steps:
                    upcoming = background.submit(self._batch, step + 1)
                yield batch

    def subject(self, weights: Callable[[], Mapping[str, Tensor]], paused: Callable[[float], None]) -> Subject:
        """Return what is watched.

        Args:
            weights: gives the parameters that would be kept now, by the objective's names.
            paused: told how many seconds watching took.
        """
        return Subject(
            model=self.model,
            weights=lambda: {name.removeprefix("model."): value for name, value in weights().items()},
            preprocess=Preprocessing(size=(self.size, self.size)),
            images=self._fixed_images,
            mask_ratio=self.recipe.mask_ratio,
            steps=self.recipe.steps,
            batch_size=self.recipe.batch_size,
            paused=paused,
        )

    def _fixed_images(self, count: int) -> Tensor:
        """Return evenly spaced images of the source, normalised."""
        count = min(count, len(self.source))
        chosen = torch.linspace(0, len(self.source) - 1, count, device="cpu").round().long()
        images = self.source.views(chosen, central_crops(count), self.size).to(self.device)
        return (images - self.mean) / self.std

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Make the batch of a step, a function of seed and step alone: images (B, 3, H, W) and a mask (B, N)."""
        recipe = self.recipe
        generator = step_generator(recipe.seed, step)
        indices = draw_indices(len(self.source), recipe.batch_size, step, recipe.seed)
        crops = draw_crops(recipe.batch_size, recipe.crop, recipe.aspect, generator)
        images = self.source.views(indices, crops, self.size).to(self.device, non_blocking=True)
        mask = random_mask(recipe.batch_size, self.model.grid_size, recipe.mask_ratio, generator=generator)
        return (images - self.mean) / self.std, mask
