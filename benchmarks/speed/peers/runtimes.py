"""ONNX Runtime and OpenVINO on the CPU, running the exported weights."""

import importlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.speed.subject import NotOffered, Subject
from benchmarks.speed.tasks import Inputs, Precision, Task

__all__ = ["onnxruntime", "openvino"]


def onnxruntime(subject: Subject, task: Task, precision: Precision) -> Any:
    """Call an ONNX Runtime session made for each batch size; int8 is its dynamic quantization."""
    _require_cpu(subject)
    runtime: Any = importlib.import_module("onnxruntime")
    path = _quantized(subject, subject.onnx(task)) if precision == "int8" else subject.onnx(task)

    def load(batch: int) -> Callable[[dict[str, Any]], Any]:
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        # Its threads spin while a call lasts, and not while the next contestant has its turn.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        for axis in _free_axes(path):
            options.add_free_dimension_override_by_name(axis, batch)
        session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda feeds: session.run(None, feeds)[0]

    return _per_batch(load, task)


def openvino(subject: Subject, task: Task, precision: Precision) -> Any:
    """Call an OpenVINO model compiled for each batch size; by default it takes the precision that it likes."""
    _require_cpu(subject)
    vino: Any = importlib.import_module("openvino")
    core = vino.Core()
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    if precision != "default":
        settings["INFERENCE_PRECISION_HINT"] = "bf16" if precision == "bfloat16" else "f32"

    def load(batch: int) -> Callable[[dict[str, Any]], Any]:
        model = core.read_model(subject.onnx(task))
        shapes = {port.get_any_name(): port.partial_shape for port in model.inputs}
        model.reshape({name: [batch, *list(shape)[1:]] for name, shape in shapes.items()})
        request = core.compile_model(model, "CPU", settings).create_infer_request()
        return lambda feeds: request.infer(feeds, share_inputs=True)[0]

    return _per_batch(load, task)


def _per_batch(load: Callable[[int], Callable[[dict[str, Any]], Any]], task: Task) -> Any:
    """Load a program when a batch size first comes, keeping one at a time."""
    loaded: dict[int, Callable[[dict[str, Any]], Any]] = {}

    def run(inputs: Inputs) -> Tensor:
        batch = len(inputs.images)
        if batch not in loaded:
            loaded.clear()
            loaded[batch] = load(batch)
        feeds = {"images": inputs.images.numpy()}
        if task != "features":
            feeds["visible"] = inputs.visible.numpy()
        return torch.from_numpy(loaded[batch](feeds))

    return run


def _quantized(subject: Subject, source: Path) -> Path:
    """Write the int8 form of an ONNX file next to it: matrix products only, one scale per output channel."""
    path = source.with_name("int8.onnx")
    if not path.exists():
        subject.say("quantizing for ONNX Runtime")
        quantization: Any = importlib.import_module("onnxruntime.quantization")
        logging.disable(logging.WARNING)  # it advises a preparation that the exporter has done
        try:
            quantization.quantize_dynamic(
                source,
                path,
                op_types_to_quantize=["MatMul", "Gemm"],
                per_channel=True,
                weight_type=quantization.QuantType.QInt8,
                use_external_data_format=True,
            )
        finally:
            logging.disable(logging.NOTSET)
    return path


def _free_axes(path: Path) -> set[str]:
    """Return the names of the axes that an ONNX file leaves open."""
    onnx: Any = importlib.import_module("onnx")
    inputs = onnx.load(path, load_external_data=False).graph.input
    return {axis.dim_param for each in inputs for axis in each.type.tensor_type.shape.dim if axis.dim_param}


def _require_cpu(subject: Subject) -> None:
    if subject.device.type != "cpu":
        raise NotOffered(f"measured on the CPU only, not on {subject.device.type}")
