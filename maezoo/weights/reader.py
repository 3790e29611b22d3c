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

    def dtype(self, key: str) -> torch.dtype:
        """Return a tensor's dtype without reading it."""
        dtype: torch.dtype = self._file.get_slice(key)[:0].dtype
        return dtype

    def read(self, key: str) -> Tensor:
        """Return a tensor, memory-mapped."""
        tensor: Tensor = self._file.get_tensor(key)
        return tensor


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
