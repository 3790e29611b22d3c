"""How a step is divided: between processes, in parts done one after the other, and in memory."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.nn.parallel import DistributedDataParallel

from maezoo.errors import ArgumentError
from maezoo.model import MaskedAutoencoder
from maezoo.training.processes.processes import ALONE, Processes

__all__ = ["Division", "Parallel", "blocks_of", "prepare"]

Parallel: TypeAlias = Literal["ddp", "fsdp"]
"""`"ddp"`: each process has all weights; `"fsdp"`: each has a share of them."""


@dataclass(frozen=True)
class Division:
    """How a step is divided. None of it changes what is computed, but for the order in which numbers are added.

    Attributes:
        processes: that share the step.
        parallel: what each of them has of the weights.
        accumulate: parts of a process's rows that are done one after the other.
        recompute: compute each block's activations again in the backward pass, which saves memory.
        compile: compile it with `torch.compile`.
    """

    processes: Processes = ALONE
    parallel: Parallel = "ddp"
    accumulate: int = 1
    recompute: bool = False
    compile: bool = False

    def check(self, batch_size: int) -> None:
        """Refuse what cannot be divided.

        Raises:
            ArgumentError: an unknown way, or less than one image for each part.
        """
        if self.parallel not in ("ddp", "fsdp"):
            raise ArgumentError.for_choice("parallel", self.parallel, ("ddp", "fsdp"))
        least = self.processes.size * self.accumulate
        if self.accumulate < 1 or batch_size < least:
            raise ArgumentError(
                f"a batch of {batch_size} cannot be divided among {self.processes.size} process(es) with "
                f"accumulate={self.accumulate}: pass batch_size={max(least, 1)} or more (it counts all processes), "
                "accumulate of at least 1, or start fewer processes.",
                expected=least,
                found=batch_size,
            )

    @property
    def sharded(self) -> bool:
        """Whether each process has a share of the weights only."""
        return self.parallel == "fsdp"

    def forward_of(self, objective: nn.Module) -> Any:
        """Return what is called with a batch: the objective itself, compiled, or averaging gradients over processes."""
        if self.processes.size > 1 and not self.sharded:
            devices = {parameter.device for parameter in objective.parameters()}
            on_cuda = next(iter(devices)).type == "cuda"
            return DistributedDataParallel(objective, device_ids=list(devices) if on_cuda else None)
        alone = self.processes.size == 1 and not self.sharded
        return torch.compile(objective, dynamic=False) if self.compile and alone else objective

    def parts(self, batch: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
        """Split a process's rows into the parts that are done one after the other."""
        if self.accumulate == 1:
            return [batch]
        return list(zip(*(tensor.tensor_split(self.accumulate) for tensor in batch), strict=True))

    def syncing(self, forward: Any, last: bool) -> AbstractContextManager[object]:
        """Return the context of a part: gradients are averaged over processes in the last one alone."""
        return nullcontext() if last or not isinstance(forward, DistributedDataParallel) else forward.no_sync()


def blocks_of(model: MaskedAutoencoder) -> list[nn.Module]:
    """Return the transformer blocks of encoder and decoder."""
    return [*model.encoder.blocks, *model.require_decoder().blocks]


def prepare(objective: nn.Module, model: MaskedAutoencoder, division: Division, dtype: torch.dtype) -> None:
    """Prepare a model in place, before its optimizers are made.

    Args:
        objective: the model with its loss, on its device.
        model: in it.
        division: how a step is divided.
        dtype: in which products are computed.
    """
    if division.recompute:
        model.set_grad_checkpointing()
    if division.compile and (division.sharded or division.processes.size > 1):
        for block in blocks_of(model):
            block.compile(dynamic=False)
    if division.sharded:
        low = dtype if dtype != torch.float32 else None
        # The target is made of the same images as the input, so that the root does not round them.
        policy = MixedPrecisionPolicy(param_dtype=low, reduce_dtype=torch.float32, cast_forward_inputs=False)
        for block in blocks_of(model):
            fully_shard(block, mp_policy=policy)
        fully_shard(objective, mp_policy=policy)
