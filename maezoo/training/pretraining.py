"""The task of pretraining: an autoencoder that reconstructs the hidden patches of random crops."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from maezoo.api.mae import MAE
from maezoo.api.source import WeightsSource
from maezoo.errors import ArgumentError, DataError
from maezoo.hardware import choose_dtype, parse_dtype
from maezoo.images.preprocessing import Preprocessing
from maezoo.model.build import empty_weights
from maezoo.training.masking.masks import MaskDraws, Masking
from maezoo.training.objective import Objective, counted_patches
from maezoo.training.optimizers import Optimizers, pretraining_optimizers
from maezoo.training.processes.division import Division, prepare
from maezoo.training.processes.sharded import whole
from maezoo.training.recipe import Recipe
from maezoo.training.shape import Shape
from maezoo.training.sources.ahead import made_ahead
from maezoo.training.sources.fingerprint import fingerprint_of
from maezoo.training.sources.source import ImageSource, check_enough
from maezoo.training.sources.views import Blocks, central_crops, draw_crops, draw_indices, step_generator
from maezoo.training.start import fingerprint, load_start
from maezoo.training.task import Schedule
from maezoo.training.watching.watch import Subject

__all__ = ["Pretraining"]

_WHOLE = Division()
_log = logging.getLogger(__name__)

_AHEAD = 3  # batches
_SLOW_MUON = (
    "Muon computes in bfloat16, which this machine emulates: a step takes several times longer than with "
    "optimizer='adamw' (--optimizer adamw)."
)
_GREY = (0.299, 0.587, 0.114)  # as Pillow converts to grey


class Pretraining:
    """A model that learns to reconstruct, and the batches that it learns from; see `Task`.

    Args:
        recipe: the numbers of the run.
        source: the images.
        device: where to train.
        shape: of the model.
        start: weights that it starts from, opened.
        division: how a step is divided.
    """

    def __init__(
        self,
        recipe: Recipe,
        source: ImageSource,
        device: torch.device,
        shape: Shape,
        start: WeightsSource | None = None,
        division: Division = _WHOLE,
    ) -> None:
        recipe = recipe.completed(shape.variant.embed_dim)
        check_enough(source, recipe.batch_size)
        division.check(recipe.batch_size)
        self.recipe, self.source, self.device, self.shape, self.start = recipe, source, device, shape, start
        self.division, self.processes = division, division.processes
        self._init_sha256, self._images = fingerprint(start), fingerprint_of(source)
        self.blocks: Blocks | None = getattr(source, "blocks", None)
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            torch.default_generator.manual_seed(recipe.seed)  # torch.manual_seed would reseed CUDA, too
            objective = Objective(shape.build(), recipe.normpix_weight, recipe.mask_strategy)
        if division.sharded and objective.guide is not None:
            raise ArgumentError(
                f"mask_strategy={recipe.mask_strategy!r} keeps copies of the model, which are not sharded: pass "
                "parallel='ddp', or another strategy.",
                found=recipe.mask_strategy,
            )
        self.schedule: Schedule = recipe
        self.model = objective.model
        self.masking = Masking(recipe, objective.model, objective.guide)
        self.objective: nn.Module = objective.to(device).train()
        prepare(objective, self.model, division, parse_dtype(recipe.precision, device).dtype)
        self.optimizers: Optimizers = pretraining_optimizers(self.objective, recipe)
        if recipe.optimizer == "muon" and choose_dtype(device).dtype != torch.bfloat16 and self.processes.first:
            _log.warning("%s", _SLOW_MUON)
        self.mean, self.std = (
            torch.tensor(values, dtype=torch.float32, device=device).view(1, -1, 1, 1)
            for values in (shape.preprocess.mean, shape.preprocess.std)
        )

    def facts(self) -> dict[str, Any]:
        """Return the recipe with what it left open, and which images they are, as plain data."""
        own = {"init_sha256": self._init_sha256, "window": self.preprocess.window, "images": self._images}
        return {**self.recipe.to_dict(), **self.shape.to_dict(), **own}

    def begin(self) -> None:
        """Load the weights that the recipe starts from."""
        if self.start is not None:
            load_start(self.start, self.model, self.shape, tell=self.processes.first)

    def count(self, batch: tuple[Tensor, ...]) -> int:
        """Return how many patches are predicted in these rows: the hidden ones, or a part of them, of images read."""
        return int(counted_patches(batch[0], batch[-1]).sum())

    def result(self) -> MAE:
        """Return the trained model, in eval mode, all of it in every process."""
        shape, model = self.shape, self.model
        if any(isinstance(parameter, DTensor) for parameter in model.parameters()):
            with empty_weights():
                model = shape.build()
            state = {name: whole(value).detach() for name, value in self.model.state_dict().items()}
            model.load_state_dict(state, assign=True)
        if self.division.recompute:
            model.set_grad_checkpointing(False)
        name, facts = shape.variant.name, shape.facts
        return MAE(
            model.encoder, model.decoder, preprocess=self.preprocess, target=shape.target, name=name, facts=facts
        ).eval()

    @property
    def preprocess(self) -> Preprocessing:
        """How images become the model's input, once it is trained."""
        known = self.shape.preprocess
        return replace(known, window=getattr(self.source, "window", known.window))

    def drawing(self, step: int) -> AbstractContextManager[object]:
        """Return an empty context: the model draws nothing."""
        return nullcontext()

    def batches(self, start: int) -> Iterator[tuple[Tensor, ...]]:
        """Yield the batches from a step on; the next ones are made meanwhile, where that costs the step nothing."""
        steps = range(start, self.recipe.steps)
        # On a CPU, decoding takes from the step what it saves; waiting for a network does not.
        waits = self.device.type != "cpu" or getattr(self.source, "is_remote", False)
        with closing(made_ahead(self._batch, steps, _AHEAD if waits else 0)) as made:
            for step, (images, draws) in zip(steps, made, strict=True):
                yield self._masked(step, images, draws)

    def subject(self, weights: Callable[[], Mapping[str, Tensor]], paused: Callable[[float], None]) -> Subject:
        """Return what is watched.

        Args:
            weights: gives the parameters that would be kept now, by the objective's names.
            paused: called with the seconds that watching took.
        """
        return Subject(
            model=self.model,
            weights=lambda: {name.removeprefix("model."): value for name, value in weights().items()},
            preprocess=self.preprocess,
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
        images = self.source.views(chosen, central_crops(count), self._view_size).to(self.device)
        return ((self._of_channels(images) - self.mean) / self.std).nan_to_num()  # an image that cannot be read is grey

    def _masked(self, step: int, images: Tensor, draws: MaskDraws) -> tuple[Tensor, ...]:
        """Add the masks of a step to its images; here, when the step before is done, as they may follow the weights."""
        self.masking.follow(step)
        return images, *self.masking.masks(draws, images, step)

    def _batch(self, step: int) -> tuple[Tensor, MaskDraws]:
        """Make this process's rows of a step: images (B, C, H, W), and what its masks are made of.

        All is drawn for the whole step, a function of seed and step alone, whoever computes which rows.
        """
        recipe, rows = self.recipe, self.processes.rows(self.recipe.batch_size)
        generator = step_generator(recipe.seed, step)
        indices = draw_indices(len(self.source), recipe.batch_size, step, recipe.seed, self.blocks)
        H, W = self.shape.preprocess.size
        aspect = (recipe.aspect[0] * W / H, recipe.aspect[1] * W / H)  # of a square, whatever it is resized to
        crops = draw_crops(recipe.batch_size, recipe.crop, aspect, generator).take(rows)
        images = self.source.views(indices[rows], crops, self._view_size).to(self.device, non_blocking=True)
        draws = self.masking.draw(recipe.batch_size, generator).rows(rows)
        return (self._of_channels(images) - self.mean) / self.std, draws

    @property
    def _view_size(self) -> int | tuple[int, int]:
        H, W = self.shape.preprocess.size
        return H if H == W else (H, W)

    def _of_channels(self, images: Tensor) -> Tensor:
        """Return images of the model's channels: pictures as they are, or grey."""
        wanted, found = self.shape.facts.in_chans, images.shape[1]
        if found == wanted:
            return images
        if (found, wanted) != (3, 1):
            raise DataError(
                f"the model takes {wanted} channels; {self.source.describe()} have {found}. Pass in_chans={found}, or "
                f"a source whose views are (B, {wanted}, H, W).",
                expected=wanted,
                found=found,
            )
        grey = torch.tensor(_GREY, dtype=torch.float32, device=images.device).view(1, 3, 1, 1)
        return (images * grey).sum(dim=1, keepdim=True)  # (B, 1, H, W)
