"""Slowly averaged copies of the weights, which guide the masks of a run."""

import copy
from typing import TypeVar

import torch
from torch import nn

__all__ = ["DECAY", "follow", "frozen_copy"]

DECAY = 0.996
"""Of the average: that of the teachers of self-distillation (DINO, https://arxiv.org/abs/2104.14294, §3.1)."""

_Module = TypeVar("_Module", bound=nn.Module)


def frozen_copy(module: _Module) -> _Module:
    """Return a copy that is not trained, in eval mode."""
    return copy.deepcopy(module).requires_grad_(False).eval()


@torch.no_grad()
def follow(average: nn.Module, source: nn.Module, step: int) -> None:
    """Move an average towards the weights that a step starts from, in place; at step 0 it becomes their copy.

    The decay grows from 0 to `DECAY`, so that the random weights of the start are soon forgotten.

    Example:
        >>> source = nn.Linear(2, 1)
        >>> average = frozen_copy(nn.Linear(2, 1))
        >>> follow(average, source, step=0)
        >>> torch.equal(average.weight, source.weight)
        True
    """
    decay = min(DECAY, step / (9 + step))
    pairs = list(zip(average.parameters(), source.parameters(), strict=True))
    torch._foreach_lerp_([mine for mine, _ in pairs], [theirs.detach() for _, theirs in pairs], 1 - decay)
