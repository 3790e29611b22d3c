"""The engines: what each can compute, where, and what has to be installed for it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from maezoo.engines import eager, inductor, onednn, onnxruntime, openvino
from maezoo.engines.runner import Runner
from maezoo.errors import ArgumentError, EngineError, MissingExtraError

__all__ = ["ENGINES", "PRECISIONS", "Engine", "Precision", "choose_engines", "find_engine"]

Precision = Literal["float32", "bfloat16", "float16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True)
class Engine:
    """One way to run a task.

    Attributes:
        name: what `optimize(engine=…)` calls it.
        prepare: makes a runner of a task's module, example inputs and a dtype.
        is_available: whether what it needs is here.
        precisions: what it computes in.
        devices: kinds of device it runs on.
        automatic: the kinds of device on which `"auto"` tries it.
        wants_float32: it is made of a float32 module whatever it computes in.
        extra: the extra that brings it, if PyTorch does not.
        computes: whether this processor can compute in one of the precisions with it.
    """

    name: str
    prepare: Callable[[nn.Module, tuple[Tensor, ...], torch.dtype], Runner]
    is_available: Callable[[], bool]
    precisions: tuple[Precision, ...]
    devices: tuple[str, ...] = ("cpu",)
    automatic: tuple[str, ...] = ("cpu",)
    wants_float32: bool = False
    extra: str | None = None
    computes: Callable[[str], bool] = lambda precision: True

    def runs(self, precision: Precision, device: torch.device) -> bool:
        """Tell whether it computes in a precision on a device."""
        return precision in self.precisions and device.type in self.devices

    def prepare_task(self, module: nn.Module, example: tuple[Tensor, ...], precision: Precision) -> Runner:
        """Prepare a task; the runner takes and gives tensors of the module's own dtype."""
        dtype = next(module.parameters()).dtype
        ready = eager.in_dtype(module, torch.float32) if self.wants_float32 else module
        run = self.prepare(ready, example, getattr(torch, precision))
        return lambda *inputs: run(*inputs).to(dtype)


ENGINES = {
    engine.name: engine
    for engine in (
        Engine(
            "eager",
            eager.prepare,
            lambda: True,
            ("float32", "bfloat16", "float16"),
            devices=("cpu", "cuda", "mps"),
            automatic=("cpu", "cuda", "mps"),
        ),
        Engine("onednn", onednn.prepare, onednn.is_available, ("float32", "bfloat16"), computes=onednn.computes),
        # Compiles for up to a minute for each batch size: on a CPU by name only.
        Engine(
            "inductor",
            inductor.prepare,
            inductor.is_available,
            ("float32", "bfloat16", "float16"),
            devices=("cpu", "cuda"),
            automatic=("cuda",),
        ),
        Engine(
            "onnxruntime",
            onnxruntime.prepare,
            onnxruntime.is_available,
            ("float32", "int8"),
            wants_float32=True,
            extra="export",
        ),
        Engine(
            "openvino",
            openvino.prepare,
            openvino.is_available,
            ("float32", "bfloat16"),
            wants_float32=True,
            extra="openvino",
        ),
    )
}


def find_engine(name: str) -> Engine:
    """Return the engine called `name`.

    Raises:
        ArgumentError: no such engine.

    Example:
        >>> find_engine("onednn").precisions
        ('float32', 'bfloat16')
    """
    if not isinstance(name, str) or name not in ENGINES:
        raise ArgumentError(f"engine is 'auto', 'pytorch', {', '.join(map(repr, ENGINES))}; got {name!r}.")
    return ENGINES[name]


def choose_engines(name: str, precision: Precision, device: torch.device) -> list[Engine]:
    """Return the engines to try: the named one, or those that are here and worth it on the device.

    Args:
        name: an engine, `"auto"` for all of them, or `"pytorch"` for those that PyTorch brings: ready in no time.
        precision: what they have to compute in.
        device: where.

    Raises:
        ArgumentError: no such engine, or it does not compute in this precision on this device.
        MissingExtraError: what it needs is not installed; the message has the command.
        EngineError: the machine lacks what it needs.
    """
    if name in ("auto", "pytorch"):
        found = [each for each in ENGINES.values() if each.runs(precision, device) and device.type in each.automatic]
        found = [each for each in found if name == "auto" or each.extra is None]
        here = [each for each in found if each.is_available() and each.computes(precision)]
        if here:
            return here
        extra = next((each.extra for each in found if each.extra), None)
        if extra:
            raise MissingExtraError.for_extra(extra, f"{precision} engines")
        raise ArgumentError(_no_engine(precision, device))
    engine = find_engine(name)
    if not engine.runs(precision, device):
        raise ArgumentError(
            f"{name} runs in {', '.join(engine.precisions)} on {', '.join(engine.devices)}; "
            f"got {precision} on {device.type}."
        )
    if not engine.is_available():
        if engine.extra:
            raise MissingExtraError.for_extra(engine.extra, f"the engine {name}")
        raise EngineError(f"this machine or this PyTorch cannot run the engine {name}; engine='auto' takes what can.")
    if not engine.computes(precision):
        raise EngineError(f"{name} does not compute in {precision} on this processor; engine='auto' takes what does.")
    return [engine]


def _no_engine(precision: Precision, device: torch.device) -> str:
    able = [f"{each.name} ({', '.join(each.devices)})" for each in ENGINES.values() if precision in each.precisions]
    return f"none of these engines computes in {precision} on {device.type}; these do: {', '.join(able)}."
