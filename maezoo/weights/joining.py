"""Tensors that a file keeps apart and the model has as one: read side by side into new memory."""

import json
import math
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maezoo.errors import IntegrityError, LayoutError
from maezoo.weights.reader import WeightsFile

__all__ = ["read_joined"]

_READERS = 2  # threads: one alone is slowed by the system, which clears each page before it is written
_ALIGNMENT = 64  # bytes


@dataclass(frozen=True)
class _Entry:
    """What a file's header says of a tensor, and where its bytes are."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int


@dataclass(frozen=True)
class _Group:
    """Tensors that become one, and where that begins in memory."""

    names: tuple[str, ...]
    parts: tuple[_Entry, ...]
    begin: int

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)


def read_joined(file: WeightsFile, groups: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], Tensor]:
    """Read groups of tensors, each group joined along the first axis.

    They are read, not copied from mapped pages, which would stay in memory. All share one block of memory, which lives
    as long as one of them: the system gives a large block large pages, which are quicker to have.

    Args:
        file: the open file.
        groups: names of tensors of one dtype that differ in their first axis alone.

    Returns:
        The joined tensor of each group.

    Raises:
        LayoutError: the tensors of a group differ in dtype or in the other axes.
        IntegrityError: the file became shorter meanwhile.

    Example:
        >>> from maezoo.weights.reader import open_weights
        >>> with open_weights(Path("maezoo/weights/mae_vit_tiny.safetensors")) as file:
        ...     norm = ("encoder.norm.weight", "encoder.norm.bias")
        ...     read_joined(file, [norm])[norm].shape
        torch.Size([384])
    """
    placed = _place(file.path, groups)
    if not placed:
        return {}
    room: Any = np.empty(placed[-1].begin + placed[-1].size, np.uint8)  # by NumPy, which asks for large pages
    shares = [placed[first::_READERS] for first in range(_READERS)]
    with ThreadPoolExecutor(_READERS) as readers:
        list(readers.map(lambda share: _fill(room, file.path, share), shares))  # the list raises what a thread raised
    dtypes = {kind: file.dtype(name) for kind, name in {g.parts[0].dtype: g.names[0] for g in placed}.items()}
    return {group.names: _view(room, group, dtypes[group.parts[0].dtype]) for group in placed}


def _place(path: Path, groups: Iterable[tuple[str, ...]]) -> list[_Group]:
    """Find the groups' tensors in the file, and a place in memory for each group.

    Raises:
        LayoutError: tensors do not belong together; their bytes alone would not tell.
    """
    entries = _entries(path)
    placed, end = [], 0
    for names in groups:
        parts = tuple(entries[name] for name in names)
        shapes = [part.shape for part in parts]
        if () in shapes or len({(part.dtype, part.shape[1:]) for part in parts}) > 1:
            raise LayoutError(f"{path}: {', '.join(names)} cannot be joined: shapes {shapes} or dtypes differ.")
        placed.append(_Group(names, parts, math.ceil(end / _ALIGNMENT) * _ALIGNMENT))
        end = placed[-1].begin + placed[-1].size
    return placed


def _entries(path: Path) -> dict[str, _Entry]:
    """Read the header of a file, which safetensors has checked."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    found = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        found[name] = _Entry(entry["dtype"], tuple(entry["shape"]), 8 + length + first, last - first)
    return found


def _fill(room: Any, path: Path, groups: Sequence[_Group]) -> None:
    """Read groups into their places; while the system copies, other threads run."""
    view = memoryview(room)
    with path.open("rb", buffering=0) as file:
        for group in groups:
            target = group.begin
            for part in group.parts:
                file.seek(part.start)
                if file.readinto(view[target : target + part.size]) != part.size:
                    raise IntegrityError(f"{path} ended while it was read.")
                target += part.size


def _view(room: Any, group: _Group, dtype: torch.dtype) -> Tensor:
    """Return a group's bytes as its tensor."""
    rows = sum(part.shape[0] for part in group.parts)
    flat = torch.from_numpy(room[group.begin : group.begin + group.size])
    return flat.view(dtype).view(rows, *group.parts[0].shape[1:])
