"""What decides how fast an engine is here: the processor, the threads and the versions."""

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

__all__ = ["PACKAGES", "machine_name", "processor_name", "versions"]

PACKAGES = ("maezoo", "torch", "timm", "onnx", "onnxruntime", "openvino")


def machine_name(device: torch.device) -> str:
    """Name the processor that computes on a device, in one line.

    Example:
        >>> machine_name(torch.device("cpu")).endswith(" threads")
        True
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return f"{processor_name()}, {device.type}"
    return f"{processor_name()}, {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Return the versions of those packages that are installed.

    Example:
        >>> sorted(versions(["torch", "no-such-package"]))
        ['torch']
    """
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def processor_name() -> str:
    """Name the CPU, with family and model where a virtual machine calls two generations by one name."""
    listing = Path("/proc/cpuinfo")
    if not listing.exists():
        return platform.processor() or platform.machine()
    facts: dict[str, str] = {}
    for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    name = facts.get("model name", platform.machine())
    if "cpu family" in facts and not any(character.isdigit() for character in name):
        name += f" (family {facts['cpu family']}, model {facts.get('model', '?')})"
    return name
