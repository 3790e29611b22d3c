"""What decides how fast an engine is here: the processor, the threads and the versions."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

__all__ = ["machine_name", "versions"]

_PACKAGES = ("maezoo", "torch", "timm", "onnx", "onnxruntime", "openvino")


def machine_name(device: torch.device) -> str:
    """Name the processor that computes on a device, in one line.

    Example:
        >>> machine_name(torch.device("cpu")).endswith(" threads")
        True
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"


def versions() -> dict[str, str]:
    """Return the versions of those packages that engines are made of and that are installed."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    """Return the processor's name: Linux tells it in a file, other systems through `platform`."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
