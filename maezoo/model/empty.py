"""Models built without a byte of memory and without drawing a number, for a file to fill."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["empty_weights"]


class _NoDrawing(TorchFunctionMode):
    """Leaves out what fills tensors with random numbers: on the meta device that does nothing, but slowly."""

    _LEFT_OUT = frozenset({torch.Tensor.uniform_, torch.Tensor.normal_, torch.nn.init.trunc_normal_})

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self._LEFT_OUT:
            return args[0]
        return func(*args, **(kwargs or {}))


@contextmanager
def empty_weights() -> Iterator[None]:
    """Build modules on the meta device, without their initialisation.

    Example:
        >>> with empty_weights():
        ...     layer = torch.nn.Linear(2, 3)
        >>> layer.weight.is_meta
        True
    """
    with torch.device("meta"), _NoDrawing():
        yield
