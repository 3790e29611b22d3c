"""A task as a graph for engines outside of PyTorch, open in the number of images and, if asked for, in their size."""

import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from maezoo.errors import EngineError

__all__ = ["MOST_PATCHES", "export_graph", "onnx_program", "open_axes", "write_onnx"]

MOST_PATCHES = 4096  # on one side, in a graph for any size

_MOST_IMAGES = 65536  # in a batch

_exporting = threading.Lock()  # filters of warnings belong to the process: two that overlap put the wrong ones back

Axes = tuple[dict[int, Any], ...]
"""For each input, the names of the axes that stay open."""


def export_graph(
    module: nn.Module, example: tuple[Tensor, ...], axes: Axes | None = None, *, strict: bool = True
) -> ExportedProgram:
    """Trace a task with `torch.export`.

    Args:
        module: the task, on the CPU.
        example: its inputs, two images or more: a batch of one would be taken for a constant.
        axes: what stays open, see `open_axes`; the number of images and of visible patches when `None`.
        strict: read the module's code, not run it. The size of an image as a symbol can be told from a number only
            where the code runs.
    """
    if axes is None:
        axes = open_axes(len(example))
    with torch.no_grad():
        program = torch.export.export(module, example, dynamic_shapes=axes, strict=strict)
    if not strict:
        # Comparisons of shapes that were true of the example ("not all patches are visible", "more than one column").
        # The graph holds without them, and ONNX cannot have them.
        program._guards_code = []
    return program


def open_axes(inputs: int, *, batch: bool = True, patch_size: int | None = None) -> Axes:
    """Return the axes that a graph leaves open.

    Args:
        inputs: 1 for images, 2 for images and the indices of visible patches.
        batch: the number of images.
        patch_size: leave height and width open, in multiples of it.
    """
    images: dict[int, Any] = {0: Dim("batch", min=1, max=_MOST_IMAGES)} if batch else {}
    visible = images.copy()
    if patch_size is not None:
        images |= {2: patch_size * Dim("rows", min=1, max=MOST_PATCHES)}
        images |= {3: patch_size * Dim("columns", min=1, max=MOST_PATCHES)}
    return (images, {**visible, 1: Dim.AUTO})[:inputs]


def onnx_program(
    program: ExportedProgram, *, inputs: Sequence[str] | None = None, outputs: Sequence[str] | None = None
) -> Any:
    """Translate a traced task to ONNX.

    Args:
        program: what `export_graph` gave.
        inputs: their names; PyTorch's own when `None`.
        outputs: likewise.
    """
    with _exporting, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own plans
        made = torch.onnx.export(program, dynamo=True, verbose=False, input_names=inputs, output_names=outputs)
    if made is None:
        raise EngineError("torch.onnx gave no program")
    return made


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
    onnx_program(export_graph(module, example)).save(path, external_data=True)
    return path
