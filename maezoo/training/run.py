"""The state of one pretraining run, and what is done to it: steps, batches, checkpoints, the log."""

import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maezoo.errors import DivergedError
from maezoo.files import errors_named
from maezoo.hardware import parse_dtype
from maezoo.images.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from maezoo.masks.draw import random_mask
from maezoo.model import MaskedAutoencoder, Variant, build_mae
from maezoo.training.checkpoint import load_checkpoint, load_start, save_checkpoint
from maezoo.training.data import ImageSource
from maezoo.training.objective import Objective
from maezoo.training.optimizers import Optimizers
from maezoo.training.recipe import Recipe
from maezoo.training.views import draw_crops, draw_indices, step_generator

__all__ = ["Progress", "Run"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """The progress of a run.

    Attributes:
        step: steps done.
        steps: steps in all.
        views: images shown so far.
        loss: mean training loss since the last report.
        lr: AdamW's rate at this step.
        views_per_second: since the last report.
    """

    step: int
    steps: int
    views: int
    loss: float
    lr: float
    views_per_second: float


class Run:
    """One run: its model, optimizers and averages, and the step that its checkpoint holds.

    Args:
        recipe: the numbers of the run.
        source: the images.
        out: folder for checkpoint and log; made when missing.
        device: where to train.
        variant: shape of the model.
        compile: compile the forward pass.
    """

    def __init__(
        self, recipe: Recipe, source: ImageSource, out: Path, device: torch.device, variant: Variant, compile: bool
    ) -> None:
        self.recipe, self.source, self.out, self.device = recipe, source, out, device
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            torch.default_generator.manual_seed(recipe.seed)  # torch.manual_seed would reseed CUDA, too
            objective = Objective(build_mae(variant, target=recipe.target), recipe.normpix_weight)
        self.size = variant.img_size
        self.objective = objective.to(device).train()
        self.optimizers = Optimizers(self.objective, recipe)
        self.ema = {name: p.detach().clone() for name, p in self._trainable()}
        choice = parse_dtype(None if recipe.precision == "float32" else recipe.precision, device)
        self.dtype = choice.dtype
        _log.info("training in %s: %s", self.dtype, choice.reason)
        if device.type == "cpu" and self.dtype == torch.bfloat16:
            _use_plain_attention(self.objective)
        self.forward: Callable[..., Any] = torch.compile(self.objective, dynamic=False) if compile else self.objective
        self.mean = torch.tensor(IMAGENET_MEAN, dtype=torch.float32, device=device).view(1, 3, 1, 1)
        self.std = torch.tensor(IMAGENET_STD, dtype=torch.float32, device=device).view(1, 3, 1, 1)
        self.out.mkdir(parents=True, exist_ok=True)
        self.saved_at = self.logged_at = time.monotonic()
        self.saved_step: int | None = None
        self.losses: list[Tensor] = []

    @property
    def model(self) -> MaskedAutoencoder:
        """The model that is trained."""
        return self.objective.model

    @property
    def checkpoint(self) -> Path:
        """The file that a run resumes from."""
        return self.out / "checkpoint.safetensors"

    def resume(self, start_from: Path | None) -> int:
        """Resume the run from its checkpoint, or begin it; return the steps done."""
        if not self.checkpoint.exists():
            load_start(start_from, recipe=self.recipe, model=self.model)
            self.ema = {name: p.detach().clone() for name, p in self._trainable()}
            return 0
        done = load_checkpoint(self.checkpoint, self.objective, self.ema, self.optimizers, recipe=self.recipe)
        self.saved_step = done
        _log.info("resuming at step %d of %d", done, self.recipe.steps)
        return done

    def steps(self, start: int) -> Iterator[tuple[int, Tensor]]:
        """Train from a step on, yielding each step with its loss."""
        for step, (images, mask) in self._batches(start):
            yield step, self._train_step(step, images, mask)

    def _batches(self, start: int) -> Iterator[tuple[int, tuple[Tensor, Tensor]]]:
        """Yield each step with its batch; with an accelerator, the next batch is made meanwhile."""
        steps = range(start, self.recipe.steps)
        if self.device.type == "cpu":  # there a second set of threads costs the first more than it saves
            yield from ((step, self._batch(step)) for step in steps)
            return
        with ThreadPoolExecutor(1) as background:
            upcoming = background.submit(self._batch, start)
            for step in steps:
                batch = upcoming.result()
                if step + 1 < self.recipe.steps:
                    upcoming = background.submit(self._batch, step + 1)
                yield step, batch

    def save(self, step: int) -> None:
        """Write a checkpoint, unless the run has diverged."""
        parts = self.objective, self.ema, self.optimizers
        try:
            save_checkpoint(self.checkpoint, *parts, step=step, recipe=self.recipe)
        except DivergedError as error:
            raise self._diverged(str(error)) from error
        self.saved_at, self.saved_step = time.monotonic(), step

    def _diverged(self, what: str) -> DivergedError:
        """Return the error of a run whose numbers are no longer finite."""
        path, kept = None, "no checkpoint was written yet"
        if self.saved_step is not None:
            path, kept = self.checkpoint, f"{self.checkpoint} keeps step {self.saved_step}, the last finite one"
        says = f"{what}; {kept}. Try a lower rate or float32, in another output folder."
        return DivergedError(says, path=path, reason=what)

    def seconds_since_save(self) -> float:
        """Seconds since the last checkpoint, or since the run began."""
        return time.monotonic() - self.saved_at

    def log(self, done: int, loss: Tensor, report: Callable[[Progress], None] | None, every: int) -> None:
        """Collect a loss; every few steps, write and report the mean."""
        self.losses.append(loss)
        if done % every and done != self.recipe.steps:
            return
        mean, seconds = torch.stack(self.losses).mean().item(), time.monotonic() - self.logged_at
        if not math.isfinite(mean):
            raise self._diverged(f"the loss became {mean} by step {done}")
        batch = self.recipe.batch_size
        lr = self.recipe.adamw_lr * self.recipe.lr_factor(done - 1)
        progress = Progress(done, self.recipe.steps, done * batch, mean, lr, len(self.losses) * batch / seconds)
        self.losses, self.logged_at = [], time.monotonic()
        with errors_named(self.out / "log.jsonl") as path, path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(progress)) + "\n")
        if report:
            report(progress)

    def finished_model(self) -> MaskedAutoencoder:
        """Return the model in eval mode, with the averaged weights if the recipe asks for them."""
        if self.recipe.ema:
            with torch.no_grad():
                for name, parameter in self._trainable():
                    parameter.copy_(self.ema[name])
        return self.model.eval()

    def _trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((name, p) for name, p in self.objective.named_parameters() if p.requires_grad)

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Make the batch of a step, a function of seed and step alone: images (B, 3, H, W) and a mask (B, N)."""
        recipe = self.recipe
        generator = step_generator(recipe.seed, step)
        indices = draw_indices(len(self.source), recipe.batch_size, step, recipe.seed)
        crops = draw_crops(recipe.batch_size, recipe.crop, recipe.aspect, generator)
        images = self.source.views(indices, crops, self.size).to(self.device, non_blocking=True)
        mask = random_mask(recipe.batch_size, self.model.grid_size, recipe.mask_ratio, generator=generator)
        return (images - self.mean) / self.std, mask

    def _train_step(self, step: int, images: Tensor, mask: Tensor) -> Tensor:
        """Do one step; return its loss."""
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            loss = self.forward(images, mask)
        loss.backward()
        nn.utils.clip_grad_norm_(self.objective.parameters(), self.recipe.clip)
        self.optimizers.step(step)
        decay = min(self.recipe.ema, (1 + step) / (10 + step))
        parameters = [p.detach() for _, p in self._trainable()]
        torch._foreach_lerp_(list(self.ema.values()), parameters, 1 - decay)
        detached: Tensor = loss.detach()
        return detached


def _use_plain_attention(model: nn.Module) -> None:
    """Use softmax(qk)v: on the CPU in bfloat16 its backward is several times faster than the fused kernel's."""
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False  # type: ignore[assignment]
