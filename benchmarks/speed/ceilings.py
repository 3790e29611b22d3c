"""The highest rate of matrix products on the machine: large square matrices in each number format, in the same run."""

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.speed.timing import explain, seconds_of
from maezoo.hardware import choose_dtype

__all__ = ["FORMATS", "measure"]

FORMATS = ("float32", "bfloat16", "int8")
_SIDES = (1024, 2048, 4096, 8192)  # the best of them is the ceiling
_LONGEST = {"cpu": 1.0, "cuda": 0.5}  # seconds: no larger matrices when one product takes longer than that
_CALLS = 3


def measure(device: torch.device) -> dict[str, float | str]:
    """Measure GFLOP/s (int8: GOP/s) of matrix products.

    Returns:
        The best rate of each number format, or the reason why there is none.
    """
    found: dict[str, float | str] = {}
    for name in FORMATS:
        if name == "bfloat16" and choose_dtype(device).dtype != torch.bfloat16:
            found[name] = f"not measured: {choose_dtype(device).reason}"
            continue
        try:
            found[name] = round(_best_rate(name, device), 1)
        except Exception as error:
            found[name] = f"failed: {explain(error)}"
    return found


def best_of(first: dict[str, float | str], second: dict[str, float | str]) -> dict[str, float | str]:
    """Return the higher of two measurements of each format: a ceiling is what was ever reached.

    Example:
        >>> best_of({"float32": 300.0, "int8": "failed"}, {"float32": 310.0, "int8": "failed"})
        {'float32': 310.0, 'int8': 'failed'}
    """
    best = dict(first)
    for name, rate in second.items():
        known = best.get(name)
        if isinstance(rate, float) and (not isinstance(known, float) or rate > known):
            best[name] = rate
    return best


def _best_rate(name: str, device: torch.device) -> float:
    """Return the highest rate over the sizes, in GFLOP/s."""
    best = 0.0
    for side in _SIDES:
        multiply = _product(name, side, device)
        multiply()
        seconds = min(seconds_of(multiply, device) for _ in range(_CALLS))
        best = max(best, 2 * side**3 / seconds / 1e9)
        if seconds * 8 > _LONGEST.get(device.type, 1.0):
            break
    return best


def _product(name: str, side: int, device: torch.device) -> Callable[[], Tensor]:
    """Return a product of two square matrices of one format, ready to be called."""
    if name == "int8":
        left, right = (torch.randint(-9, 9, (side, side), dtype=torch.int8, device=device) for _ in range(2))
        # A private operator, but the one that PyTorch's own int8 linears are made of.
        return lambda: torch._int_mm(left, right)
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    out = torch.empty(side, side, device=device, dtype=dtype)
    return lambda: torch.mm(a, b, out=out)
