"""The gradients of a step that is divided: those of the loss of all its rows, wherever they are computed."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor

from maezoo.training.processes.division import Division

__all__ = ["Gradients"]


class _Task(Protocol):
    def count(self, batch: tuple[Tensor, ...]) -> int: ...
    def drawing(self, step: int) -> AbstractContextManager[object]: ...


class Gradients:
    """Computes the gradients of the loss of a whole step: the mean over all errors that count, in any process.

    DDP arranges its buffers anew after the first backward pass that it sees, and the order of a sum depends on that. A
    run that is resumed adds in the same order if DDP has seen one pass before the first step that counts.

    Args:
        task: what is trained.
        forward: gives the loss of some rows.
        division: how a step is divided.
        device: of the model.
        dtype: in which products are computed.
    """

    def __init__(
        self,
        task: _Task,
        forward: Callable[..., Any],
        division: Division,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.task, self.forward, self.division, self.device, self.dtype = task, forward, division, device, dtype

    def compute(self, step: int, batch: tuple[Tensor, ...]) -> Tensor:
        """Add the gradients of a step to the parameters'; return the share in its loss of this process's rows."""
        parts = self.division.parts(batch)
        losses = []
        for part, share in zip(parts, self._shares(parts), strict=True):
            with self.division.syncing(self.forward, last=part is parts[-1]):
                low = self.dtype != torch.float32
                with self.task.drawing(step), torch.autocast(self.device.type, self.dtype, enabled=low):
                    loss = self.forward(*part)
                # processes average their gradients, and the loss of a step is a sum
                (loss if share == 1 else loss * (share * self.division.processes.size)).backward()
            losses.append(loss.detach() * share)
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def _shares(self, parts: list[tuple[Tensor, ...]]) -> list[float]:
        """Return the share of each part in the loss of the step: of all errors that count."""
        if len(parts) == self.division.processes.size == 1:
            return [1.0]
        counts = [self.task.count(part) for part in parts]
        (total,) = self.division.processes.sum(sum(counts))
        return [count / max(total, 1) for count in counts]
