"""The state of one training run, whatever it trains, and what is done to it: steps, checkpoints, the log."""

import json
import logging
import math
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from maezoo.errors import CheckpointError, DiskFullError
from maezoo.files import remove_left_over
from maezoo.hardware import parse_dtype
from maezoo.training import keeping
from maezoo.training.checkpoint import State, load_checkpoint, save_checkpoint
from maezoo.training.keeping import Keeper
from maezoo.training.origin import Origin
from maezoo.training.processes.division import Division
from maezoo.training.processes.gradients import Gradients
from maezoo.training.processes.sharded import whole
from maezoo.training.task import Progress, Task
from maezoo.training.watching.journal import Journal
from maezoo.training.watching.memory import peak_memory

__all__ = ["Run"]

_log = logging.getLogger(__name__)
_WRITTEN = ("model.safetensors", "decoder/model.safetensors", "config.json", "README.md")
"""What a run, which may be killed meanwhile, writes into its folder besides checkpoints; one at a time holds it."""
_WHOLE = Division()


class Run:
    """One run: its task and averages, its checkpoints, and its log.

    Args:
        task: what is trained.
        out: folder for checkpoints and log; made when missing.
        device: where to train.
        division: how a step is divided.
        journal: writes the log.
        resume_from: another run's checkpoint or folder, or a step of a checkpoint in `out`, to continue with this
            task's numbers.
    """

    def __init__(
        self,
        task: Task,
        out: Path,
        device: torch.device,
        division: Division = _WHOLE,
        *,
        journal: Journal | None = None,
        resume_from: Path | int | None = None,
    ) -> None:
        self.task, self.out, self.device = task, out, device
        self.division, self.processes = division, division.processes
        self.journal = journal or Journal(out, writes=self.processes.first)
        self.schedule, self.objective, self.optimizers = task.schedule, task.objective, task.optimizers
        self.ema = self._averages()
        precision = self.schedule.precision
        choice = parse_dtype(None if precision == "float32" else precision, device)
        self.dtype = choice.dtype
        _log.info("training in %s: %s", self.dtype, choice.reason)
        plain = device.type == "cpu" and self.dtype == torch.bfloat16
        self._plain = _use_plain_attention(self.objective) if plain else []
        self.forward: Callable[..., Any] = division.forward_of(self.objective)
        self.gradients = Gradients(task, self.forward, division, device, self.dtype)
        self.out.mkdir(parents=True, exist_ok=True)
        self.logged_at, self.seconds = time.monotonic(), 0.0
        self.losses: list[Tensor] = []
        self.norms: list[Tensor] = []
        self.keeper, self.origin = Keeper(out, division), Origin(resume_from, out)

    @property
    def state(self) -> State:
        """All that a checkpoint holds."""
        return State(self.objective, self.ema, self.optimizers)

    def resume(self) -> int:
        """Resume the run from its checkpoint, or begin it; return the steps done."""
        self._clear_up()
        newest = keeping.find_newest(self.out)
        facts = json.loads(json.dumps(self.task.facts()))  # as a checkpoint gives them back
        self.facts = self.origin.facts(facts, newest)
        saved = None
        if newest is not None and not self.origin.leaves(newest):
            done = saved = load_checkpoint(newest, self.state, facts=self.facts)
            _log.info("resuming at step %d of %d", done, self.schedule.steps)
        elif self.origin.named is not None:
            done = self.origin.load(self.state, facts=self.facts, steps=self.schedule.steps)
            _log.info("continuing %s at step %d of %d", self.origin.named, done, self.schedule.steps)
        else:
            done = 0
            self.task.begin()
            self.ema = self._averages()
        self._check_agreement(done)
        if newest is not None and saved is not None and self.processes.first:
            newest.replace(newest.with_name(f"checkpoint{newest.suffix}"))  # where it has that name, nothing changes
        self.journal.begin(done, resumed=saved is not None)
        self.keeper.begin(saved, self.journal.losses)
        self.processes.wait()
        self.logged_at, self.seconds = time.monotonic(), self.journal.seconds
        return done

    def _clear_up(self) -> None:
        """Remove what killed processes have left, before any process looks."""
        if self.processes.first:
            keeping.remove_left_over(self.out)
            for name in _WRITTEN:
                remove_left_over(self.out / name)
        self.processes.wait()

    def _check_agreement(self, done: int) -> None:
        """Refuse processes that see different checkpoints."""
        (total,) = self.processes.sum(done)
        if any(self.processes.any(total != done * self.processes.size)):
            raise CheckpointError(
                f"the processes of this run see different checkpoints in {self.out}; it has to be on a disk that all "
                "of them share.",
                path=self.out,
            )

    def check_room(self) -> None:
        """Refuse to begin where checkpoints would not fit.

        Raises:
            DiskFullError: the output's disk has no room for them.
        """
        one = self.state.size()
        needed = max(one, 3 * one - keeping.size_of_kept(self.out))
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
            if step == start and isinstance(self.forward, DistributedDataParallel):
                self.gradients.compute(step, batch)  # of no use but to DDP, see `Gradients`
                self.optimizers.clear()
            yield step, self._train_step(step, batch)

    def save(self, step: int) -> None:
        """Write a checkpoint, unless the run has diverged; the last good one before it stays."""
        loss = self._mean_loss() if self.losses else None
        self.keeper.save(
            step,
            loss,
            lambda path: save_checkpoint(path, self.state, step=step, facts=self.facts, division=self.division),
        )

    def _mean_loss(self) -> float:
        """Return the mean loss since the last report, of all processes' shares."""
        (mean,) = self.processes.sum(torch.stack(self.losses).mean().item())
        return float(mean)

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
        if report and self.processes.first:
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
            loss=self._mean_loss(),
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
        for module in self._plain:
            module.fused_attn = True  # type: ignore[assignment]

    def _averages(self) -> dict[str, Tensor]:
        return {name: p.detach().clone() for name, p in self._trainable()}

    def _trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((name, p) for name, p in self.objective.named_parameters() if p.requires_grad)

    def _train_step(self, step: int, batch: tuple[Tensor, ...]) -> Tensor:
        """Do one step; return this process's share of its loss."""
        loss = self.gradients.compute(step, batch)
        if self.schedule.clip:
            norm = nn.utils.clip_grad_norm_(self.objective.parameters(), self.schedule.clip)
        else:
            norm = nn.utils.get_total_norm([p.grad for p in self.objective.parameters() if p.grad is not None])
        self.norms.append(whole(norm))
        self.optimizers.step(step)
        decay = min(self.schedule.ema, (1 + step) / (10 + step))
        parameters = [p.detach() for _, p in self._trainable()]
        torch._foreach_lerp_(list(self.ema.values()), parameters, 1 - decay)
        return loss


def _use_plain_attention(model: nn.Module) -> list[nn.Module]:
    """Use softmax(qk)v: on the CPU in bfloat16 its backward is several times faster; return what used another."""
    fused = [module for module in model.modules() if getattr(module, "fused_attn", False)]
    for module in fused:
        module.fused_attn = False  # type: ignore[assignment]
    return fused
