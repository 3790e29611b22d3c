"""The numbers that a draw is made with: ratios, seeds and generators, checked."""

import operator
from numbers import Real
from typing import SupportsIndex

import numpy as np
import torch

from maezoo.errors import MaskError

__all__ = ["as_ratio", "as_seed", "generator_for", "hidden_count"]


def hidden_count(patches: int, ratio: float) -> int:
    """Return how many of N patches a ratio hides: exactly `round(ratio * N)`.

    Raises:
        MaskError: the ratio lies outside [0, 1].

    Example:
        >>> hidden_count(196, 0.75)
        147
    """
    return round(as_ratio(ratio, "mask_ratio is the hidden share and lies between 0 and 1, for example 0.75") * patches)


def as_ratio(ratio: float, rule: str, low: float = 0.0, high: float = 1.0) -> float:
    """Return a share as a Python float; NumPy's short floats count as the decimal number that they show.

    Raises:
        MaskError: no number, or one outside [low, high]; `rule` says what is allowed.

    Example:
        >>> as_ratio(np.float32(0.7), "a ratio lies between 0 and 1")
        0.7
    """
    if isinstance(ratio, bool) or not isinstance(ratio, Real) or not low <= ratio <= high:
        raise MaskError(f"{rule}; got {ratio!r}.", expected=(low, high), found=ratio)
    return float(str(ratio)) if isinstance(ratio, np.floating) else float(ratio)


def as_seed(seed: SupportsIndex) -> int:
    """Return a seed as a Python int.

    Raises:
        MaskError: it is no whole number, or none that 64 bits hold.
    """
    try:
        number = operator.index(seed)
    except TypeError:
        raise MaskError(f"seed is a whole number, for example 0; got {seed!r}.", found=seed) from None
    if not -(2**63) <= number < 2**64:
        raise MaskError(f"seed must fit in 64 bits; got {number}.", found=number)
    return number


def generator_for(seed: int | None, generator: torch.Generator | None = None) -> torch.Generator:
    """Return the CPU generator that a seed or a generator stands for; a fresh random one when both are absent.

    Raises:
        MaskError: both are given, the generator is not on the CPU, or the seed is no whole number.
    """
    if generator is not None:
        if seed is not None:
            raise MaskError("pass seed or generator, not both.")
        if generator.device.type != "cpu":
            raise MaskError("masks are drawn on the CPU: pass torch.Generator() without a device.")
        return generator
    if seed is None:
        seed = int(torch.randint(2**62, (), dtype=torch.int64, device="cpu").item())
    return torch.Generator(device="cpu").manual_seed(as_seed(seed))
