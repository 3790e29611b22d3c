"""What the figures were measured on: the class of the machine and its description."""

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from maezoo.engines.machine import processor_name, versions

__all__ = ["Machine", "describe"]

PACKAGES = ("maezoo", "torch", "timm", "transformers", "onnx", "onnxruntime", "openvino", "numpy", "pillow")


@dataclass(frozen=True)
class Machine:
    """One machine.

    Attributes:
        kind: its class: `"AMX"`, `"AVX512-BF16"`, `"AVX512"`, `"AVX2"`, `"CUDA"` or what PyTorch calls the processor.
            Figures are compared within a class only.
        processor: model of the CPU.
        cores: that this process may use.
        threads: that PyTorch and the runtimes were given.
        memory_gib: main memory.
        gpu: the card, `None` when the CPU is measured.
        system: operating system and Python.
        load: runnable processes when the run began (the average of a minute): 0 on a quiet machine.
        versions: of the packages that matter here.
    """

    kind: str
    processor: str
    cores: int
    threads: int
    memory_gib: float
    gpu: str | None
    system: str
    load: float | None
    versions: dict[str, str]

    def to_data(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> Sequence[str]:
        """Describe it for people."""
        on = self.gpu or f"{self.processor}, {self.cores} cores, {self.threads} threads, {self.memory_gib:.0f} GiB"
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        load = "" if self.load is None else f"; load when it began: {self.load:.1f}"
        return (f"class {self.kind}: {on}", f"{self.system}{load}", versions)


def describe(device: torch.device) -> Machine:
    """Describe the machine as it computes on `device`."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return Machine(
        kind="CUDA" if gpu else _cpu_class(),
        processor=processor_name(),
        cores=_cores(),
        threads=torch.get_num_threads(),
        memory_gib=round(_memory_bytes() / 2**30, 1),
        gpu=gpu,
        system=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        versions=versions(PACKAGES),
    )


def _cpu_class() -> str:
    """Name the instruction set that decides how this CPU multiplies matrices."""
    # Private names since PyTorch 2.4; where one is absent its answer counts as no.
    for question, name in (("_is_amx_tile_supported", "AMX"), ("_is_avx512_bf16_supported", "AVX512-BF16")):
        ask = getattr(torch.cpu, question, None)
        if ask is not None and ask():
            return name
    return torch.backends.cpu.get_cpu_capability()


def _cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory_bytes() -> int:
    """Return the size of main memory, 0 where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0
