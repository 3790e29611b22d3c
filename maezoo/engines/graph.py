"""A task as a graph for engines outside of PyTorch, open in the number of images and of visible patches."""

import threading
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from maezoo.errors import EngineError

__all__ = ["export_graph", "write_onnx"]

_exporting = threading.Lock()  # filters of warnings belong to the process: two that overlap put the wrong ones back


def export_graph(module: nn.Module, example: tuple[Tensor, ...]) -> ExportedProgram:
    """Trace a task with `torch.export`.

    Args:
        module: the task, in float32 on the CPU.
        example: its inputs, two images or more: a batch of one would be taken for a constant.
    """
    batch = Dim("batch", min=1, max=65536)
    shapes: tuple[dict[int, object], ...] = ({0: batch}, {0: batch, 1: Dim.AUTO})
    with torch.no_grad():
        return torch.export.export(module, example, dynamic_shapes=shapes[: len(example)], strict=True)


def write_onnx(module: nn.Module, example: tuple[Tensor, ...], folder: Path) -> Path:
    """Write a task as ONNX, its weights in a file next to it: one file could hold 2 GB only.

    Args:
        module: the task, in float32 on the CPU.
        example: see `export_graph`.
        folder: gets the files.

    Returns:
        The graph's path.
    """
    path = folder / "model.onnx"
    with _exporting, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own plans
        program = torch.onnx.export(export_graph(module, example), dynamo=True, verbose=False)
    if program is None:
        raise EngineError("torch.onnx gave no program")
    program.save(path, external_data=True)
    return path
