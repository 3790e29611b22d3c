"""The state of one training run, whatever it trains, and what is done to it: steps, checkpoints, the log."""

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

from maezoo.errors import DiskFullError
from maezoo.hardware import parse_dtype
from maezoo.training.checkpoint import load_checkpoint, save_checkpoint
from maezoo.training.keeping import Keeper, find_newest, size_of_kept
from maezoo.training.optimizers import Optimizers
from maezoo.training.origin import Origin
from maezoo.training.watching.journal import Journal
from maezoo.training.watching.memory import peak_memory
from maezoo.training.watching.records import NEWEST

__all__ = ["Progress", "Run", "Schedule", "Task"]

_log = logging.getLogger(__name__)


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
        """Yield the batches from a step on; each is a function of seed and step alone."""

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
        views_per_second: since the last report, without the time that pictures and probes took.
        gradient_norm: mean norm of the gradient since the last report, before it is clipped; `None` where it
            overflowed.
        seconds: of training since the first step; pauses do not count.
        memory_bytes: the most that was held at once: CUDA's memory, else the process's; `None` where nobody tells.
    """

    step: int
    steps: int
    views: int
    loss: float
    lr: float
    views_per_second: float
    gradient_norm: float | None
    seconds: float
    memory_bytes: int | None


class Run:
    """One run: its task and averages, and the step that its checkpoint holds.

    Args:
        task: what is trained.
        out: folder for checkpoint and log; made when missing.
        device: where to train.
        compile: compile the forward pass.
        journal: writes the log.
        resume_from: another run's checkpoint or folder, or a step of a checkpoint in `out`, to continue with this
            task's numbers.
    """

    def __init__(
        self,
        task: Task,
        out: Path,
        device: torch.device,
        compile: bool = False,
        *,
        journal: Journal | None = None,
        resume_from: Path | int | None = None,
    ) -> None:
        self.task, self.out, self.device = task, out, device
        self.journal = journal or Journal(out)
        self.schedule, self.objective, self.optimizers = task.schedule, task.objective, task.optimizers
        self.ema = self._averages()
        precision = self.schedule.precision
        choice = parse_dtype(None if precision == "float32" else precision, device)
        self.dtype = choice.dtype
        _log.info("training in %s: %s", self.dtype, choice.reason)
        if device.type == "cpu" and self.dtype == torch.bfloat16:
            _use_plain_attention(self.objective)
        self.forward: Callable[..., Any] = torch.compile(self.objective, dynamic=False) if compile else self.objective
        self.out.mkdir(parents=True, exist_ok=True)
        self.logged_at, self.seconds = time.monotonic(), 0.0
        self.losses: list[Tensor] = []
        self.norms: list[Tensor] = []
        self.keeper, self.origin = Keeper(out), Origin(resume_from, out)

    @property
    def checkpoint(self) -> Path:
        """The file that a run resumes from."""
        return self.out / NEWEST

    def resume(self) -> int:
        """Resume the run from its checkpoint, or begin it; return the steps done."""
        parts = self.objective, self.ema, self.optimizers
        newest, self.facts = find_newest(self.out), self.origin.facts(self.task.facts())
        saved = None
        if newest is not None and not self.origin.leaves(newest):
            done = saved = load_checkpoint(newest, *parts, facts=self.facts)
            newest.replace(self.checkpoint)  # where it has that name, nothing changes
            _log.info("resuming at step %d of %d", done, self.schedule.steps)
        elif self.origin.named is not None:
            done = self.origin.load(*parts, facts=self.facts, steps=self.schedule.steps)
            _log.info("continuing %s at step %d of %d", self.origin.named, done, self.schedule.steps)
        else:
            done = 0
            self.task.begin()
            self.ema = self._averages()
        self.journal.begin(done, resumed=saved is not None)
        self.keeper.begin(saved, self.journal.losses)
        self.logged_at, self.seconds = time.monotonic(), self.journal.seconds
        return done

    def check_room(self) -> None:
        """Refuse to begin where a checkpoint would not fit.

        Raises:
            DiskFullError: the output's disk has no room for one.
        """
        sizes = {id(tensor): tensor.nbytes for tensor in self.objective.state_dict().values()}
        one = sum(sizes.values()) + 3 * sum(tensor.nbytes for tensor in self.ema.values())
        needed = max(one, 3 * one - size_of_kept(self.out))
        free = shutil.disk_usage(self.out).free
        if free < needed:
            raise DiskFullError(
                f"a checkpoint takes about {one / 1e6:,.0f} MB, two are kept while a third is written, and the disk of "
                f"{self.out} has {free / 1e6:,.0f} MB left. Make room, or name another output folder.",
                path=self.out,
                expected=needed,
                found=free,
            )

    def steps(self, start: int) -> Iterator[tuple[int, Tensor]]:
        """Train from a step on, yielding each step with its loss."""
        for step, batch in zip(range(start, self.schedule.steps), self.task.batches(start), strict=False):
            yield step, self._train_step(step, batch)

    def save(self, step: int) -> None:
        """Write a checkpoint, unless the run has diverged; the last good one before it stays."""
        loss = torch.stack(self.losses).mean().item() if self.losses else None
        parts = self.objective, self.ema, self.optimizers
        self.keeper.save(step, loss, lambda path: save_checkpoint(path, *parts, step=step, facts=self.facts))

    def seconds_since_save(self) -> float:
        """Seconds since the last checkpoint, or since the run began."""
        return time.monotonic() - self.keeper.saved_at

    def log(self, done: int, loss: Tensor, report: Callable[[Progress], None] | None, every: int) -> None:
        """Collect a loss; every few steps, write and report the mean."""
        self.losses.append(loss)
        if done % every and done != self.schedule.steps:
            return
        progress = self._progress(done)
        if not math.isfinite(progress.loss):
            raise self.keeper.diverged(f"the loss became {progress.loss} by step {done}")
        self.losses, self.norms, self.logged_at = [], [], time.monotonic()
        self.journal.write(asdict(progress))
        self.keeper.follow(done, progress.loss)
        if report:
            report(progress)

    def _progress(self, done: int) -> Progress:
        """Return what is to be reported of the steps since the last report."""
        batch, elapsed = self.schedule.batch_size, time.monotonic() - self.logged_at
        self.seconds += elapsed
        norm = torch.stack(self.norms).mean().item()
        return Progress(
            step=done,
            steps=self.schedule.steps,
            views=done * batch,
            loss=torch.stack(self.losses).mean().item(),
            lr=self.schedule.peak_lr * self.schedule.lr_factor(done - 1),
            views_per_second=len(self.losses) * batch / max(elapsed, 1e-9),
            gradient_norm=norm if math.isfinite(norm) else None,
            seconds=round(self.seconds, 3),
            memory_bytes=peak_memory(self.device),
        )

    def paused(self, seconds: float) -> None:
        """Leave out of the times what was not training."""
        self.logged_at += seconds

    def kept_weights(self) -> dict[str, Tensor]:
        """Return the parameters that would be kept if the run ended now, by the objective's names."""
        return self.ema if self.schedule.ema else {name: p.detach() for name, p in self._trainable()}

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
        """Do one step; return its loss."""
        enabled = self.dtype != torch.float32
        with self.task.drawing(step), torch.autocast(self.device.type, self.dtype, enabled=enabled):
            loss = self.forward(*batch)
        loss.backward()
        if self.schedule.clip:
            self.norms.append(nn.utils.clip_grad_norm_(self.objective.parameters(), self.schedule.clip))
        else:
            gradients = [p.grad for p in self.objective.parameters() if p.grad is not None]
            self.norms.append(nn.utils.get_total_norm(gradients))
        self.optimizers.step(step)
        decay = min(self.schedule.ema, (1 + step) / (10 + step))
        parameters = [p.detach() for _, p in self._trainable()]
        torch._foreach_lerp_(list(self.ema.values()), parameters, 1 - decay)
        detached: Tensor = loss.detach()
        return detached


def _use_plain_attention(model: nn.Module) -> None:
    """Use softmax(qk)v: on the CPU in bfloat16 its backward is several times faster than the fused kernel's."""
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False  # type: ignore[assignment]
