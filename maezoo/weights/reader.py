"""A safetensors file, opened; whatever is wrong with it is an error of ours."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from maezoo.errors import IntegrityError, WeightsNotFoundError

__all__ = ["WeightsFile", "open_weights", "require_finite"]


@dataclass(frozen=True)
class WeightsFile:
    """An open safetensors file.

    Attributes:
        path: of the file.
        keys: its tensors' names.
        header: its metadata.
    """

    path: Path
    keys: tuple[str, ...]
    header: Mapping[str, str]
    _file: Any

    def shape(self, key: str) -> tuple[int, ...]:
        """Return a tensor's shape without reading it."""
        return tuple(self._file.get_slice(key).get_shape())

    def read(self, *keys: str) -> Tensor:
        """Return one tensor, memory-mapped, or several joined along the first axis."""
        tensors: list[Tensor] = [self._file.get_tensor(key) for key in keys]
        return tensors[0] if len(tensors) == 1 else _join(tensors)


@contextmanager
def open_weights(path: Path) -> Iterator[WeightsFile]:
    """Open a safetensors file.

    Raises:
        WeightsNotFoundError: no such file.
        IntegrityError: not a whole safetensors file: its header is too long, or its offsets overlap, leave holes or
            lead outside.
    """
    if path.is_dir():
        raise WeightsNotFoundError(f"{path} is a folder; name the file in it, or use 'local-dir:{path}'.")
    try:
        with safe_open(path, framework="pt") as file:
            yield WeightsFile(path, tuple(file.keys()), file.metadata() or {}, file)
    except FileNotFoundError as error:
        raise WeightsNotFoundError(f"there is no file {path}.") from error
    except SafetensorError as error:
        raise IntegrityError(
            f"{path} is not a whole safetensors file: {error}. Fetch it again; `maezoo convert` reads .pth files."
        ) from error


def require_finite(tensor: Tensor, what: str) -> None:
    """Refuse NaN and infinity; reads every value once.

    Raises:
        IntegrityError: there is one; the message names the tensor.
    """
    if not tensor.is_floating_point():
        return
    # One sum is quicker than a look at each value, and no less sure.
    if tensor.dtype == torch.float32:
        with np.errstate(all="ignore"):
            finite = bool(np.isfinite(tensor.numpy().sum()))
    else:
        finite = bool(torch.isfinite(tensor.sum(dtype=torch.promote_types(tensor.dtype, torch.float32))))
    if not finite:
        raise IntegrityError(f"{what} holds NaN or infinity; the file is damaged, or its training diverged.")


def _join(tensors: list[Tensor]) -> Tensor:
    """Join tensors along the first axis, on one thread: torch spends more on waking others than on copying."""
    joined = np.concatenate([tensor.contiguous().view(torch.uint8).numpy() for tensor in tensors])
    return torch.from_numpy(joined).view(tensors[0].dtype)
