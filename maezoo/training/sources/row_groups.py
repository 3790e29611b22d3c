"""Images in Parquet files, read a row group at a time: a group is the least that Parquet gives without reading more."""

import os
import threading
from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from maezoo.errors import DataError
from maezoo.extraction.arrow import require_pyarrow
from maezoo.extraction.item import Item
from maezoo.extraction.opening import open_location
from maezoo.training.sources.numbered import Numbered
from maezoo.training.sources.retries import patiently
from maezoo.training.sources.views import Blocks

__all__ = ["RowGroups"]

_ROOM = 2**28  # bytes of images that are shuffled together, and of which twice as many are held
_MOST_GROUPS = 256  # that are shuffled together
_LARGEST = 2**31  # bytes of one group
_ALONE = 1024  # images in a block where they are files of their own


class RowGroups:
    """The row groups that hold the images of a source.

    Args:
        items: of the source; those in Parquet files are looked up in the files' footers.

    Attributes:
        blocks: which images stand in one group, and how many groups are shuffled together; `None` without Parquet.

    Raises:
        DataError: a file that is no Parquet, or a row group too large to be held.
        OSError: a file cannot be read, however often that is tried.
    """

    def __init__(self, items: Numbered) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[bytes, int], Any] = OrderedDict()
        self._starts: dict[bytes, NDArray[np.int64]] = {}
        self._largest = 1
        tables = items.tables()
        for location, column in tables.values():
            self._starts[location] = self._look_up(os.fsdecode(location), column)
        self._window = max(1, min(_MOST_GROUPS, _ROOM // self._largest))
        self.blocks = self._blocks(items, tables) if tables else None

    def bytes_of(self, item: Item) -> bytes:
        """Return the bytes of an image; its group is read if it is not held.

        Raises:
            DataError: the group is damaged, or the row holds no image.
            OSError: the file cannot be read.
        """
        starts = self._starts[item.location]
        group = int(np.searchsorted(starts, item.offset, "right")) - 1
        value: bytes | None = self._group(item, group)[item.offset - int(starts[group])].as_py()
        if value is None:
            raise DataError.about(os.fsdecode(item.location), f"holds no image in row {item.offset:,}.")
        return value

    def _group(self, item: Item, group: int) -> Any:
        """Return the images of a group."""
        key = item.location, group
        with self._lock:
            if key not in self._held:
                while len(self._held) >= 2 * self._window:
                    self._held.popitem(last=False)
                self._held[key] = _read_group(os.fsdecode(item.location), item.column or "", group)
            self._held.move_to_end(key)
            return self._held[key]

    def _look_up(self, location: str, column: str) -> NDArray[np.int64]:
        """Return the number of the first row of each group of a file."""
        meta = patiently(lambda: _metadata(location), location)
        groups = [meta.row_group(number) for number in range(meta.num_row_groups)]
        for group in groups:
            leaves = (group.column(number) for number in range(meta.num_columns))
            size = sum(leaf.total_uncompressed_size for leaf in leaves if leaf.path_in_schema == column)
            self._largest = max(self._largest, size)
            if size > _LARGEST:
                raise DataError(
                    f"{location} has a row group of {size / 1e9:.1f} GB of images, and groups are read as a whole; "
                    "write it with smaller ones, such as pyarrow.parquet.write_table(..., row_group_size=1000).",
                    path=location,
                    expected=_LARGEST,
                    found=size,
                )
        return np.cumsum([0, *(group.num_rows for group in groups)])[:-1].astype(np.int64)

    def _blocks(self, items: Numbered, tables: dict[int, tuple[bytes, str]]) -> Blocks:
        """Number the groups, and find the group of each image."""
        files, offsets = items.places()
        within = np.arange(len(items)) // _ALONE
        for file, (location, _) in tables.items():
            here = files == file
            within[here] = np.searchsorted(self._starts[location], offsets[here], "right") - 1
        in_table = np.isin(files, list(tables))
        keys = np.stack([np.where(in_table, files, -1), within], axis=1)
        _, block = np.unique(keys, axis=0, return_inverse=True)
        return Blocks(torch.from_numpy(block.reshape(-1).astype(np.int64)), self._window)


def _metadata(location: str) -> Any:
    """Return a file's footer."""
    pa = require_pyarrow()
    try:
        with open_location(location) as raw, pa.parquet.ParquetFile(raw) as file:
            return file.metadata
    except pa.ArrowInvalid as error:
        raise DataError.about(location, f"cannot be read as Parquet: {error}.") from error


def _read_group(location: str, column: str, group: int) -> Any:
    """Return the images of a group as an array of bytes."""
    pa = require_pyarrow()
    try:
        with open_location(location) as raw, pa.parquet.ParquetFile(raw) as file:
            values = file.read_row_group(group, columns=[column]).column(0)
    except pa.ArrowInvalid as error:
        raise DataError.about(location, f"is damaged in its row group {group}: {error}.") from error
    if pa.types.is_struct(values.type):
        return pa.chunked_array([chunk.field(0) for chunk in values.chunks])
    return values
