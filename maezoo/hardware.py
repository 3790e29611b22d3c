"""What this machine computes well: the device and the number format that "auto" stands for, and why."""

import platform
from collections.abc import Callable
from typing import NamedTuple

import torch

from maezoo.errors import ArgumentError

__all__ = ["Choice", "choose_device", "choose_dtype", "int8_saturates", "parse_dtype"]

_NAMES = {
    "float32": torch.float32,
    "fp32": torch.float32,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
    "fp16": torch.float16,
}


class Choice(NamedTuple):
    """A number format and the reason for it, in words fit for a log line."""

    dtype: torch.dtype
    reason: str


def choose_device(device: str | torch.device | None = "auto") -> torch.device:
    """Return the device that a name stands for; `"auto"`, or `None`, is CUDA where there is one, else the CPU.

    Raises:
        ArgumentError: no such kind of device, or none of that kind here.

    Example:
        >>> choose_device("cpu")
        device(type='cpu')
    """
    if device is None or (isinstance(device, str) and device == "auto"):
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        if isinstance(device, bool):
            raise TypeError
        chosen = torch.device(device)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ArgumentError(
            f"device is 'auto', 'cpu', 'cuda', 'cuda:1', 'mps', …; got {device!r}.", found=device
        ) from error
    here: dict[str, Callable[[], bool]] = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if chosen.type in here and not here[chosen.type]():
        raise ArgumentError(f"PyTorch finds no {chosen.type} device here; pass device='auto' or 'cpu'.")
    return chosen


def choose_dtype(device: torch.device) -> Choice:
    """Return bfloat16 where the hardware multiplies it fast, else float32.

    Fast means CUDA compute capability 8 or more, or an x86 CPU with AMX or AVX512-BF16 instructions. Elsewhere
    bfloat16 is emulated and many times slower than float32.

    Example:
        >>> choose_dtype(torch.device("mps")).dtype
        torch.float32
    """
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        if major >= 8:
            return Choice(torch.bfloat16, f"CUDA compute capability {major}.{minor} has bfloat16 matrix units")
        return Choice(torch.float32, f"CUDA compute capability {major}.{minor} has no bfloat16 matrix units")
    if device.type == "cpu":
        feature = _cpu_bfloat16()
        if feature:
            return Choice(torch.bfloat16, f"this CPU multiplies bfloat16 in hardware ({feature})")
        return Choice(torch.float32, "this CPU has no bfloat16 multiply (neither AMX nor AVX512-BF16)")
    return Choice(torch.float32, f"bfloat16 is not measured on {device.type}")


def parse_dtype(dtype: torch.dtype | str | None, device: torch.device) -> Choice:
    """Read a dtype argument: a torch dtype, its name, `"auto"`, or `None` for float32.

    Raises:
        ArgumentError: not a floating-point format that models run in.

    Example:
        >>> parse_dtype("bf16", torch.device("cpu")).dtype
        torch.bfloat16
    """
    if dtype == "auto":
        return choose_dtype(device)
    if dtype is None:
        return Choice(torch.float32, "the default")
    wanted = _NAMES.get(dtype) if isinstance(dtype, str) else dtype
    if wanted is None or wanted not in _NAMES.values():
        raise ArgumentError(f"dtype is 'auto', 'float32', 'bfloat16' or 'float16' (or the torch dtype); got {dtype!r}.")
    return Choice(wanted, "asked for")


def int8_saturates() -> bool:
    """Tell whether this CPU adds pairs of int8 products in 16 bits, where large ones are cut off: x86 without VNNI.

    Weights of seven bits avoid that (onnxruntime's documentation of quantisation, "reduce_range").
    """
    ask = getattr(torch.cpu, "_is_vnni_supported", None)  # a private name, like those below
    return platform.machine().lower() in ("x86_64", "amd64") and not (ask is not None and ask())


def _cpu_bfloat16() -> str | None:
    """Name the instruction set with which this CPU multiplies bfloat16, if any."""
    # PyTorch has had these two questions under private names since 2.4; an absent one means an old PyTorch: no.
    for question, name in (("_is_amx_tile_supported", "AMX"), ("_is_avx512_bf16_supported", "AVX512-BF16")):
        ask = getattr(torch.cpu, question, None)
        if ask is not None and ask():
            return name
    return None


def __dir__() -> list[str]:
    """List the public names alone."""
    return __all__
