"""torch.compile: PyTorch's own compiler. On the CPU with frozen weights; it needs a C++ compiler there."""

import shutil

import torch
from torch import Tensor, nn

from maezoo.engines import eager
from maezoo.engines.runner import Runner

__all__ = ["has_compiler", "is_available", "prepare"]


def is_available() -> bool:
    """Tell whether a compiler for the CPU's code is at hand, or a GPU, whose compiler PyTorch brings along."""
    return torch.cuda.is_available() or has_compiler()


def has_compiler() -> bool:
    """Tell whether a C++ compiler is at hand."""
    return any(shutil.which(name) for name in ("c++", "g++", "clang++", "cl"))


def prepare(module: nn.Module, example: tuple[Tensor, ...], dtype: torch.dtype) -> Runner:
    """Compile a task. Each batch size that comes is compiled when it first comes, for up to a minute.

    Args:
        module: the task.
        example: not used.
        dtype: of the weights and the computation.
    """
    on_gpu = next(module.parameters()).is_cuda
    ready = eager.in_dtype(module, dtype)
    # On a GPU, searching for better kernels ("max-autotune") took minutes and chose cuBLAS's again.
    compiled = torch.compile(ready, options={} if on_gpu else {"freezing": True}, dynamic=False)

    def run(images: Tensor, *visible: Tensor) -> Tensor:
        with torch.no_grad():
            output: Tensor = compiled(images.to(dtype), *visible)
        return output

    return run
