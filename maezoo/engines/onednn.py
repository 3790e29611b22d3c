"""PyTorch with its linear layers laid out once for oneDNN, x86's kernels, and GELU fused into them."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from maezoo.engines import eager
from maezoo.engines.runner import Runner

__all__ = ["computes", "is_available", "prepare"]


def is_available() -> bool:
    """Tell whether this PyTorch has the operators: x86 builds with oneDNN."""
    operators = torch.ops.mkldnn
    backend: Any = torch.backends.mkldnn
    return backend.is_available() and all(
        hasattr(operators, name) for name in ("_reorder_linear_weight", "_linear_pointwise")
    )


def computes(precision: str) -> bool:
    """Tell whether oneDNN computes in a precision on this processor; bfloat16 needs AVX-512 or AVX-NE-CONVERT."""
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return precision != "bfloat16" or (supported is not None and bool(supported()))


def prepare(module: nn.Module, example: tuple[Tensor, ...], dtype: torch.dtype) -> Runner:
    """Lay out a task's linear layers; the packed weights are a second copy of theirs.

    Args:
        module: the task, on the CPU.
        example: not used; a batch takes any number of images.
        dtype: of the weights and the computation.
    """
    return eager.prepare(_pack(eager.shared_copy(eager.in_dtype(module, dtype))), example, dtype)


class _PackedLinear(nn.Module):
    """A linear layer on a weight in oneDNN's own layout, with an activation fused where there is one."""

    def __init__(self, linear: nn.Linear, activation: str = "none") -> None:
        super().__init__()
        # The operators are those that PyTorch's own freezing puts into a graph; they have no public names.
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), None)
        self.bias = None if linear.bias is None else linear.bias.detach()
        self.activation = activation
        self.algorithm = "none" if activation == "gelu" else ""  # the exact GELU, not tanh's

    def forward(self, x: Tensor) -> Tensor:
        packed: Any = torch.ops.mkldnn._linear_pointwise
        output: Tensor = packed(x, self.weight, self.bias, self.activation, [], self.algorithm)
        return output


def _pack(module: nn.Module) -> nn.Module:
    """Replace the linear layers below a module, and the GELU between the two of an MLP."""
    for name, child in list(module.named_children()):
        first, activation = getattr(child, "fc1", None), getattr(child, "act", None)
        if isinstance(first, nn.Linear) and _is_exact_gelu(activation):
            child.fc1 = _PackedLinear(first, "gelu")
            child.act = nn.Identity()
        if isinstance(child, nn.Linear):
            setattr(module, name, _PackedLinear(child))
        else:
            _pack(child)
    return module


def _is_exact_gelu(activation: object) -> bool:
    """Tell the exact GELU, in PyTorch's class or timm's, from its tanh approximation."""
    if isinstance(activation, partial):
        return False
    return type(activation).__name__ == "GELU" and getattr(activation, "approximate", "none") == "none"
