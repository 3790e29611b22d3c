"""A safetensors file, opened; whatever is wrong with it is an error of ours."""

import functools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from maezoo.errors import IntegrityError, LayoutError, WeightsNotFoundError

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
        """Return one tensor, memory-mapped, or several joined along the first axis.

        Raises:
            LayoutError: tensors to be joined differ in dtype or in the other axes.
            IntegrityError: the file became shorter meanwhile.
        """
        if len(keys) > 1:
            return self._joined(keys)
        tensor: Tensor = self._file.get_tensor(keys[0])
        return tensor

    def _joined(self, keys: tuple[str, ...]) -> Tensor:
        """Read tensors one behind the other: mapped pages that are copied once would only stay in memory."""
        shapes = [self.shape(key) for key in keys]
        kinds = {(self._file.get_slice(key).get_dtype(), shape[1:]) for key, shape in zip(keys, shapes, strict=True)}
        if len(kinds) > 1 or not shapes[0]:
            raise LayoutError(f"{self.path}: {', '.join(keys)} cannot be joined: shapes {shapes} or dtypes differ.")
        dtype: torch.dtype = self._file.get_slice(keys[0])[:0].dtype
        spans = [self._spans[key] for key in keys]
        buffer: Any = np.empty(sum(size for _, size in spans), np.uint8)  # by NumPy, which asks for huge pages
        room = memoryview(buffer)
        with self.path.open("rb", buffering=0) as file:
            for start, size in spans:
                file.seek(start)
                read = file.readinto(room[:size])
                if read != size:
                    raise IntegrityError(f"{self.path} ended while it was read.")
                room = room[size:]
        joined = torch.from_numpy(buffer).view(dtype)
        return joined.view(sum(shape[0] for shape in shapes), *shapes[0][1:])

    @functools.cached_property
    def _spans(self) -> Mapping[str, tuple[int, int]]:
        """Where each tensor is in the file: its first byte, and how many; safetensors has checked them."""
        with self.path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            entries = json.loads(file.read(length))
        return {
            key: (8 + length + entry["data_offsets"][0], entry["data_offsets"][1] - entry["data_offsets"][0])
            for key, entry in entries.items()
            if key != "__metadata__"
        }


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
