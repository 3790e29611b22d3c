"""Images in a Parquet file: the bytes of one row, read forward so that memory stays bounded."""

import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

from maezoo.errors import DataError
from maezoo.extraction.arrow import require_pyarrow
from maezoo.extraction.opening import open_location
from maezoo.extraction.remote import is_uri

__all__ = ["close_rows", "row_bytes"]

_ROWS = 16  # held at a time
_BUFFER = 2**20  # bytes read at a time
_this_thread = threading.local()


def row_bytes(path: str, column: str, row: int) -> bytes:
    """Return the bytes of an image in a Parquet file.

    Each thread keeps its place in one file: rows that are asked for in order are read once.

    Args:
        path: the file, or its URI.
        column: the binary column, with a dot where it is a field of a struct.
        row: number of the row.

    Raises:
        DataError: the file is damaged or has changed, or the row holds no image.
        OSError: the file cannot be read.
    """
    reader: _Reader | None = getattr(_this_thread, "reader", None)
    if reader is None or not reader.can_reach(path, column, row):
        close_rows()
        reader = _this_thread.reader = _Reader(path, column, row)
    try:
        value = reader.value(row)
    except BaseException:
        close_rows()
        raise
    if value is None:
        raise DataError.about(path, f"holds no image in row {row:,} of column {column!r}.")
    return value


def close_rows() -> None:
    """Close the file that this thread keeps open."""
    reader: _Reader | None = getattr(_this_thread, "reader", None)
    _this_thread.reader = None
    if reader is not None:
        reader.close()


class _Reader:
    """The rows of one row group, from the start on.

    Args:
        path: the file.
        column: of bytes.
        row: a row of the group.
    """

    def __init__(self, path: str, column: str, row: int) -> None:
        pa = require_pyarrow()
        self._path, self._column = path, column
        self._stamp = _stamp(path)
        try:
            # Without pre-buffering a column is read page by page, not as a whole.
            self._raw = open_location(path)
            self._file = pa.parquet.ParquetFile(self._raw, pre_buffer=False, buffer_size=_BUFFER)
            self._first, group = 0, 0
            while row >= self._first + (rows := self._file.metadata.row_group(group).num_rows):
                self._first, group = self._first + rows, group + 1
        except (pa.ArrowException, IndexError) as error:
            raise self._error(row) from error
        self._stop = self._first + rows
        self._batches = self._iterate(group)
        self._values: Any = ()

    def can_reach(self, path: str, column: str, row: int) -> bool:
        """Whether a row is the last one read or a later one of this group, in a file that is as it was."""
        same = (path, column) == (self._path, self._column)
        return same and self._first <= row < self._stop and _stamp(path) == self._stamp

    def value(self, row: int) -> bytes | None:
        """Return the bytes of a row."""
        pa = require_pyarrow()
        try:
            while row >= self._first + len(self._values):
                self._first += len(self._values)
                self._values = next(self._batches)
        except (pa.ArrowException, StopIteration) as error:
            raise self._error(row) from error
        value: bytes | None = self._values[row - self._first].as_py()
        return value

    def close(self) -> None:
        """Close the file."""
        self._batches.close()
        self._file.close()
        self._raw.close()

    def _iterate(self, group: int) -> Generator[Any, None, None]:
        """Yield arrays of consecutive values."""
        pa = require_pyarrow()
        for batch in self._file.iter_batches(_ROWS, row_groups=[group], columns=[self._column], use_threads=False):
            values = batch.column(0)
            yield values.field(0) if pa.types.is_struct(values.type) else values

    def _error(self, row: int) -> DataError:
        return DataError.about(self._path, f"cannot be read at row {row:,}; is it damaged, or has it changed?")


def _stamp(path: str) -> tuple[int, int]:
    if is_uri(path):
        return 0, 0
    found = Path(path).stat()
    return found.st_size, found.st_mtime_ns
