"""OpenVINO on the CPU, in float32 or, where the CPU has it, bfloat16."""

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from maezoo.engines.graph import export_graph
from maezoo.engines.runner import Runner

__all__ = ["is_available", "prepare"]


def is_available() -> bool:
    """Tell whether the extra `openvino` is installed."""
    return find_spec("openvino") is not None


def prepare(module: nn.Module, example: tuple[Tensor, ...], dtype: torch.dtype) -> Runner:
    """Convert a task and compile it for this CPU.

    Args:
        module: the task, in float32 on the CPU.
        example: inputs of two images or more.
        dtype: what it computes in, `torch.float32` or `torch.bfloat16`; inputs and outputs are float32 in either.
    """
    import openvino

    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": "bf16" if dtype == torch.bfloat16 else "f32",
    }
    graph = openvino.convert_model(export_graph(module, example))
    compiled = openvino.Core().compile_model(graph, "CPU", settings)

    def run(*inputs: Tensor) -> Tensor:
        arrays = [each.contiguous().numpy() for each in inputs]
        return torch.from_numpy(compiled(arrays)[0]).clone()  # the next call would write over it

    return run
