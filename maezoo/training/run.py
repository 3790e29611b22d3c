"""The state of one training run, whatever it trains, and what is done to it: steps, checkpoints, the log."""

import json
import logging
import math
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from maezoo.errors import CheckpointError, DiskFullError, DivergedError
from maezoo.files import errors_named, remove_left_over
from maezoo.hardware import parse_dtype
from maezoo.training.checkpoint import State, find_checkpoint, load_checkpoint, save_checkpoint
from maezoo.training.division import Division
from maezoo.training.gradients import Gradients
from maezoo.training.optimizers import Optimizers

__all__ = ["Progress", "Run", "Schedule", "Task"]

_log = logging.getLogger(__name__)
_WRITTEN = ("checkpoint.safetensors", "model.safetensors", "decoder/model.safetensors", "config.json", "README.md")
"""What a run, which may be killed meanwhile, writes into its folder; one run at a time holds it."""


class Schedule(Protocol):
    """How long a run takes, in which steps."""

    @property
    def steps(self) -> int:
        """Number of optimizer steps."""

    @property
    def batch_size(self) -> int:
        """Images in a step."""

    @property
    def peak_lr(self) -> float:
        """The highest rate, as it is reported."""

    @property
    def clip(self) -> float:
        """Largest norm of the gradient; 0 for any."""

    @property
    def ema(self) -> float:
        """Decay of the averaged weights that are kept in the end; 0 keeps the last ones."""

    @property
    def precision(self) -> str:
        """`"auto"`, `"float32"` or `"bfloat16"`."""

    def lr_factor(self, step: int) -> float:
        """Return the share of the peak rate at a step from 0."""


class Task(Protocol):
    """What is trained, on what: all that differs between pretraining and fine-tuning.

    Attributes:
        schedule: the steps.
        objective: called with a batch, gives the loss, a scalar; on its device, in train mode.
        optimizers: of it.
    """

    schedule: Schedule
    objective: nn.Module
    optimizers: Optimizers

    def facts(self) -> dict[str, Any]:
        """Return what decides the result, as plain data; a checkpoint is resumed only with the same."""

    def begin(self) -> None:
        """Load what a run that has no checkpoint starts from."""

    def batches(self, start: int) -> Iterator[tuple[Tensor, ...]]:
        """Yield this process's rows of the batches from a step on, functions of seed and step alone."""

    def count(self, batch: tuple[Tensor, ...]) -> int:
        """Return of how many errors the loss of these rows is the mean."""

    def drawing(self, step: int) -> AbstractContextManager[object]:
        """Return the context of a step's forward pass, in which what it draws depends on seed and step alone."""


@dataclass(frozen=True)
class Progress:
    """The progress of a run.

    Attributes:
        step: steps done.
        steps: steps in all.
        views: images shown so far.
        loss: mean training loss since the last report.
        lr: the highest group's rate at this step.
        views_per_second: since the last report.
    """

    step: int
    steps: int
    views: int
    loss: float
    lr: float
    views_per_second: float


_WHOLE = Division()


class Run:
    """One run: its task and averages, and the step that its checkpoint holds.

    Args:
        task: what is trained.
        out: folder for checkpoint and log; made when missing.
        device: where to train.
        division: how a step is divided.
    """

    def __init__(self, task: Task, out: Path, device: torch.device, division: Division = _WHOLE) -> None:
        self.task, self.out, self.device = task, out, device
        self.division, self.processes = division, division.processes
        self.schedule, self.objective, self.optimizers = task.schedule, task.objective, task.optimizers
        self.ema = self._averages()
        precision = self.schedule.precision
        choice = parse_dtype(None if precision == "float32" else precision, device)
        self.dtype = choice.dtype
        _log.info("training in %s: %s", self.dtype, choice.reason)
        if device.type == "cpu" and self.dtype == torch.bfloat16:
            _use_plain_attention(self.objective)
        self.forward: Callable[..., Any] = division.forward_of(self.objective)
        self.gradients = Gradients(task, self.forward, division, device, self.dtype)
        self.out.mkdir(parents=True, exist_ok=True)
        self.saved_at = self.logged_at = time.monotonic()
        self.saved_step: int | None = None
        self.losses: list[Tensor] = []

    @property
    def checkpoint(self) -> Path:
        """What a run resumes from: the file, or the newest folder of shares, that is or would be there."""
        return find_checkpoint(self.out) or self.out / "checkpoint.safetensors"

    @property
    def state(self) -> State:
        """All that a checkpoint holds."""
        return State(self.objective, self.ema, self.optimizers)

    def resume(self) -> int:
        """Resume the run from its checkpoint, or begin it; return the steps done."""
        for name in _WRITTEN if self.processes.first else ():
            remove_left_over(self.out / name)
        done = 0
        if self.checkpoint.exists():
            done = self.saved_step = load_checkpoint(self.checkpoint, self.state, facts=self.task.facts())
            _log.info("resuming at step %d of %d", done, self.schedule.steps)
        else:
            self.task.begin()
            self.ema = self._averages()
        (total,) = self.processes.sum(done)
        if any(self.processes.any(total != done * self.processes.size)):
            raise CheckpointError(
                f"the processes of this run see different checkpoints in {self.out}; it has to be on a disk that all "
                "of them share.",
                path=self.out,
            )
        return done

    def check_room(self) -> None:
        """Refuse to begin where a checkpoint would not fit.

        Raises:
            DiskFullError: the output's disk has no room for one.
        """
        needed = self.state.size()
        free = shutil.disk_usage(self.out).free
        if free < needed:
            raise DiskFullError(
                f"a checkpoint takes about {needed / 1e6:,.0f} MB, and the disk of {self.out} has {free / 1e6:,.0f} MB "
                "left. Make room, or name another output folder.",
                path=self.out,
                expected=needed,
                found=free,
            )

    def steps(self, start: int) -> Iterator[tuple[int, Tensor]]:
        """Train from a step on, yielding each step with its loss."""
        for step, batch in zip(range(start, self.schedule.steps), self.task.batches(start), strict=False):
            if step == start and isinstance(self.forward, DistributedDataParallel):
                self.gradients.compute(step, batch)  # of no use but to DDP, see `Gradients`
                self.optimizers.clear()
            yield step, self._train_step(step, batch)

    def save(self, step: int) -> None:
        """Write a checkpoint, unless the run has diverged."""
        try:
            save_checkpoint(self.out, self.state, step=step, facts=self.task.facts(), division=self.division)
        except DivergedError as error:
            raise self._diverged(str(error)) from error
        self.saved_at, self.saved_step = time.monotonic(), step

    def _diverged(self, what: str) -> DivergedError:
        """Return the error of a run whose numbers are no longer finite."""
        path, kept = None, "no checkpoint was written yet"
        if self.saved_step is not None:
            path = self.checkpoint
            kept = f"{path} keeps step {self.saved_step}, the last finite one"
        says = f"{what}; {kept}. Try a lower rate or float32, in another output folder."
        return DivergedError(says, path=path, reason=what)

    def seconds_since_save(self) -> float:
        """Seconds since the last checkpoint, or since the run began."""
        return time.monotonic() - self.saved_at

    def log(self, done: int, loss: Tensor, report: Callable[[Progress], None] | None, every: int) -> None:
        """Collect a loss; every few steps, write and report the mean."""
        self.losses.append(loss)
        if done % every and done != self.schedule.steps:
            return
        (mean,), seconds = self.processes.sum(torch.stack(self.losses).mean().item()), time.monotonic() - self.logged_at
        if not math.isfinite(mean):
            raise self._diverged(f"the loss became {mean} by step {done}")
        batch = self.schedule.batch_size
        lr = self.schedule.peak_lr * self.schedule.lr_factor(done - 1)
        progress = Progress(done, self.schedule.steps, done * batch, mean, lr, len(self.losses) * batch / seconds)
        self.losses, self.logged_at = [], time.monotonic()
        if not self.processes.first:
            return
        with errors_named(self.out / "log.jsonl") as path, path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(progress)) + "\n")
        if report:
            report(progress)

    def finish(self) -> None:
        """Put the averaged weights in place of the last ones if the schedule asks for them; set eval mode."""
        if self.schedule.ema:
            with torch.no_grad():
                for name, parameter in self._trainable():
                    parameter.copy_(self.ema[name])
        self.objective.eval()

    def _averages(self) -> dict[str, Tensor]:
        return {name: p.detach().clone() for name, p in self._trainable()}

    def _trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((name, p) for name, p in self.objective.named_parameters() if p.requires_grad)

    def _train_step(self, step: int, batch: tuple[Tensor, ...]) -> Tensor:
        """Do one step; return this process's share of its loss."""
        loss = self.gradients.compute(step, batch)
        if self.schedule.clip:
            nn.utils.clip_grad_norm_(self.objective.parameters(), self.schedule.clip)
        self.optimizers.step(step)
        decay = min(self.schedule.ema, (1 + step) / (10 + step))
        parameters = [p.detach() for _, p in self._trainable()]
        torch._foreach_lerp_(list(self.ema.values()), parameters, 1 - decay)
        return loss


def _use_plain_attention(model: nn.Module) -> None:
    """Use softmax(qk)v: on the CPU in bfloat16 its backward is several times faster than the fused kernel's."""
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False  # type: ignore[assignment]
