"""Code that draws from the process's own generators made to draw from a seed; the generators are put back after it.

timm's augmentations draw from those of Python, NumPy and PyTorch; a run that is resumed must see the same views.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["drawn_from", "step_seeds"]

_CPU = torch.device("cpu")


@contextmanager
def drawn_from(seed: int, device: torch.device = _CPU) -> Iterator[None]:
    """Let the block draw from a seed, on the CPU and on a device; afterwards all generators are as they were.

    Args:
        seed: less than 2**32.
        device: whose generator is seeded too.

    Example:
        >>> with drawn_from(0):
        ...     first = random.random()
        >>> with drawn_from(0):
        ...     first == random.random()
        True
    """
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        random.seed(seed)
        np.random.seed(seed)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed every device
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def step_seeds(count: int, step: int, seed: int) -> list[int]:
    """Return seeds that belong to a step.

    Example:
        >>> len(step_seeds(3, step=0, seed=1)), step_seeds(1, step=0, seed=1) == step_seeds(1, step=1, seed=1)
        (3, False)
    """
    generator = torch.Generator(device="cpu").manual_seed((seed * 1_000_003 + step) % 2**63)
    drawn: list[int] = torch.randint(2**31, (count,), generator=generator, device="cpu").tolist()
    return drawn
