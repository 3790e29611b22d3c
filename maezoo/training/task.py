"""What a run needs of its task, and what it reports: all that differs between pretraining and fine-tuning."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from maezoo.training.optimizers import Optimizers

__all__ = ["Progress", "Schedule", "Task"]


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
