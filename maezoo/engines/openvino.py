"""OpenVINO on the CPU, in float32 or, where the CPU has it, bfloat16."""

import threading
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from maezoo.engines.graph import export_graph
from maezoo.engines.quiet import import_openvino, openvino_core
from maezoo.engines.runner import Runner

__all__ = ["is_available", "prepare"]


def is_available() -> bool:
    """Tell whether the extra `openvino` is installed."""
    return find_spec("openvino") is not None


def prepare(module: nn.Module, example: tuple[Tensor, ...], dtype: torch.dtype) -> Runner:
    """Convert a task and compile it for this CPU.

    A program for any shape spends milliseconds on each call to find its shapes out, which a single image feels: where
    one comes alone, a second program is compiled for just that.

    Args:
        module: the task, in float32 on the CPU.
        example: inputs of two images or more, in the number format of those to come.
        dtype: what it computes in, `torch.float32` or `torch.bfloat16`.
    """
    openvino = import_openvino()
    outside = torch.bfloat16 if example[0].dtype == torch.bfloat16 else torch.float32
    graph = openvino.convert_model(export_graph(module, (example[0].float(), *example[1:])))
    if outside == torch.bfloat16:
        graph = _taking_bfloat16(graph)
    single = tuple(tuple(each[:1].shape) for each in example)
    programs: dict[bool, Any] = {}
    # A program has one place for its input and its output. A call takes all cores: threads lose nothing by their turns.
    turn = threading.Lock()

    def run(images: Tensor, *visible: Tensor) -> Tensor:
        inputs = [images.to(outside), *visible]
        alone = tuple(tuple(each.shape) for each in inputs) == single
        with turn:
            if alone not in programs:
                programs[alone] = _program(graph, single if alone else None, dtype)
            return _infer(programs[alone], inputs)

    return run


def _infer(program: Any, inputs: list[Tensor]) -> Tensor:
    """Run a program on tensors, which it reads where they are."""
    output = program.infer([_shared(each.contiguous()) for each in inputs], share_inputs=True)[0]
    # A copy, for the next call would write over it; by NumPy, for PyTorch would wake its threads for it, and wait
    # milliseconds until OpenVINO's have left the cores.
    copied = output.copy()
    if copied.dtype.itemsize == 2:  # NumPy has no bfloat16, and calls it by another name of that size
        return torch.from_numpy(copied.view("int16")).view(torch.bfloat16)
    return torch.from_numpy(copied)


def _shared(tensor: Tensor) -> Any:
    """Return what OpenVINO takes for a tensor, on the same memory."""
    if tensor.dtype != torch.bfloat16:
        return tensor.numpy()
    openvino = import_openvino()
    return openvino.Tensor(tensor.view(torch.int16).numpy(), openvino.Shape(tensor.shape), openvino.Type.bf16)


def _taking_bfloat16(graph: Any) -> Any:
    """Let a graph take its images and give its output in bfloat16: one conversion less on either side."""
    from openvino import Type
    from openvino.preprocess import PrePostProcessor

    outside = PrePostProcessor(graph)
    outside.input(0).tensor().set_element_type(Type.bf16)
    outside.output(0).tensor().set_element_type(Type.bf16)
    return outside.build()


def _program(graph: Any, shapes: tuple[tuple[int, ...], ...] | None, dtype: torch.dtype) -> Any:
    """Compile a graph for fixed shapes, or for any."""
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": "bf16" if dtype == torch.bfloat16 else "f32",
    }
    if shapes is not None:
        graph = graph.clone()
        graph.reshape(dict(enumerate(shapes)))
    return openvino_core().compile_model(graph, "CPU", settings).create_infer_request()
