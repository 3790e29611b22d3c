"""Knowing that a model has learned nothing yet: its weights are still those that were drawn."""

import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from maezoo.errors import RandomWeightsWarning

__all__ = ["RandomWeights"]

_PACKAGE = str(Path(__file__).parents[1])


class RandomWeights:
    """The first value of each drawn tensor. Loading weights changes them, and so does a step of training.

    Args:
        parts: of a model whose weights were just drawn, by name.
    """

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        self._drawn = {name: _first_values(part) for name, part in parts.items()}

    def warn(self, model: str, parts: Mapping[str, nn.Module]) -> None:
        """Warn of parts that are about to be used and are still as they were drawn.

        Each part is looked at once, and none any more after a warning.

        Args:
            model: its name.
            parts: by name.
        """
        unseen = {name: self._drawn.pop(name, None) for name in parts}
        random = [name for name, drawn in unseen.items() if drawn is not None and _is_drawn(parts[name], drawn)]
        if random:
            self._drawn.clear()
            warnings.warn(_message(model, random), RandomWeightsWarning, stacklevel=_users_level())


def _message(model: str, random: Sequence[str]) -> str:
    """Word the warning."""
    which = f"the {' and the '.join(random)} of {model} {'were' if len(random) > 1 else 'was'}"
    return (
        f"these weights are random: {which} neither loaded nor trained, so the results mean nothing. Pass "
        "pretrained=True or checkpoint= to maezoo.create, or train the model first."
    )


def _first_values(part: nn.Module) -> Tensor:
    """Return the first value of each tensor, (tensors,) float64 on the CPU."""
    firsts = [each.detach().flatten()[:1].to("cpu", torch.float64) for each in part.parameters()]
    return torch.cat(firsts)


def _is_drawn(part: nn.Module, drawn: Tensor) -> bool:
    """Whether a part has the drawn values still, as its number format rounds them."""
    dtypes = [each.dtype for each in part.parameters()]
    if len(dtypes) != len(drawn):
        return False
    rounded = [value.to(dtype).double() for value, dtype in zip(drawn, dtypes, strict=True)]
    return torch.equal(torch.stack(rounded), _first_values(part))


def _users_level() -> int:
    """Return the `stacklevel` of the first caller outside of the package."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    return level
