"""ONNX Runtime on the CPU: float32, or int8 weights for each output channel with activations quantised as they come."""

import os
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maezoo.engines.graph import write_onnx
from maezoo.engines.quantise import quantise
from maezoo.engines.quiet import import_onnxruntime
from maezoo.engines.runner import Runner

__all__ = ["is_available", "prepare"]


def is_available() -> bool:
    """Tell whether the extra `export` is installed."""
    return all(find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))


def prepare(module: nn.Module, example: tuple[Tensor, ...], dtype: torch.dtype) -> Runner:
    """Export a task and open it in ONNX Runtime.

    Args:
        module: the task, in float32 on the CPU.
        example: inputs of two images or more; those to come may be in another number format.
        dtype: `torch.float32`, or `torch.int8` for quantised matrix products.
    """
    single = tuple(tuple(each[:1].shape) for each in example)
    # Some systems cannot delete a file that the session has mapped: what is left there, they clear themselves.
    with tempfile.TemporaryDirectory(prefix="maezoo-", ignore_cleanup_errors=True) as folder:
        path = write_onnx(module, (example[0].float(), *example[1:]), Path(folder))
        if dtype == torch.int8:
            exact, path = path, path.with_name("int8.onnx")
            quantise(exact, path)
        session = _session(path)
        # A graph for any shape is slower on a single image by a twentieth. int8 weights are small enough to hold twice.
        alone = _session(path, _free_axes(session, single)) if dtype == torch.int8 else session
    names = [each.name for each in session.get_inputs()]

    def run(images: Tensor, *visible: Tensor) -> Tensor:
        inputs = (images.float(), *visible)
        arrays = {name: each.contiguous().numpy() for name, each in zip(names, inputs, strict=True)}
        fitting = alone if tuple(tuple(each.shape) for each in inputs) == single else session
        return torch.from_numpy(fitting.run(None, arrays)[0])

    return run


def _session(path: Path, fixed: Mapping[str, int] | None = None) -> Any:
    """Open a graph on as many threads as PyTorch has, some of its free axes fixed."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    # Its threads would keep waiting for work, and take the cores from whatever prepares the next batch.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    for axis, size in (fixed or {}).items():
        options.add_free_dimension_override_by_name(axis, size)
    return onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])


def _free_axes(session: Any, shapes: tuple[tuple[int, ...], ...]) -> dict[str, int]:
    """Return the names of a graph's free axes with the sizes that inputs of some shapes give them."""
    return {
        axis: size
        for each, shape in zip(session.get_inputs(), shapes, strict=True)
        for axis, size in zip(each.shape, shape, strict=True)
        if isinstance(axis, str)
    }
