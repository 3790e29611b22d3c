"""PyTorch as it is: the reference that every other engine is held against."""

import copy

import torch
from torch import Tensor, nn

from maezoo.engines.runner import Runner

__all__ = ["in_dtype", "prepare", "shared_copy"]


def prepare(module: nn.Module, example: tuple[Tensor, ...], dtype: torch.dtype) -> Runner:
    """Run a task in eager PyTorch.

    Args:
        module: the task.
        example: not used; a batch takes any number of images.
        dtype: of the weights and the computation; the weights are shared where it is their own.
    """
    ready = in_dtype(module, dtype)

    def run(images: Tensor, *visible: Tensor) -> Tensor:
        with torch.no_grad():
            output: Tensor = ready(images.to(dtype), *visible)
        return output

    return run


def in_dtype(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Return a module whose weights are in `dtype`: itself, or a converted copy."""
    if all(parameter.dtype == dtype for parameter in module.parameters()):
        return module
    return copy.deepcopy(module).to(dtype)


def shared_copy(module: nn.Module) -> nn.Module:
    """Return a copy whose submodules can be replaced while all the tensors stay shared."""
    tensors = {id(each): each for each in (*module.parameters(), *module.buffers())}
    return copy.deepcopy(module, tensors)
