"""A training step, the same for whoever computes the loss."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.speed.tasks import Inputs

__all__ = ["trained"]


def trained(model: nn.Module, loss_of: Callable[[Inputs], Tensor], dtype: torch.dtype, *, fused: bool) -> Any:
    """Return a call that takes one step and gives its loss: forward (in autocast below float32), backward, AdamW.

    Args:
        model: in training mode.
        loss_of: computes the loss of a batch.
        dtype: of the autocast.
        fused: AdamW as one kernel; else as PyTorch chooses. Its rate is 0: a step costs the same, and every batch size
            starts from the same weights.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=0.0, betas=(0.9, 0.95), weight_decay=0.05, fused=fused or None)

    def step(inputs: Inputs) -> Tensor:
        with torch.enable_grad():
            with torch.autocast(inputs.images.device.type, dtype, enabled=dtype != torch.float32):
                loss = loss_of(inputs)
            torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return step
