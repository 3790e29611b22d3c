"""The output of an extraction: its record, and its rows, a batch at a time."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maezoo.errors import DataError, SourceMissingError
from maezoo.extraction.arrow import require_pyarrow
from maezoo.extraction.remote import is_uri, path_in
from maezoo.extraction.settings import FOLDER, RECORD, read_record
from maezoo.extraction.store import Store, open_store
from maezoo.paths import user_path

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Embeddings", "centred"]

_ROWS = 8192  # read at a time
_EQUAL = 1e-3  # relative; float16 keeps 5e-4
_log = logging.getLogger(__name__)

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Embeddings:
    """The rows of an extraction's output.

    Attributes:
        where: the output's folder or URI.
        store: its Parquet files.
        records: what else was kept of the run.
        settings: of the extraction.
        names: of the files, in order.
    """

    where: str
    store: Store
    records: Store
    settings: dict[str, Any]
    names: tuple[str, ...]

    @classmethod
    def open(cls, output: str | Path) -> "Embeddings":
        """Open an output; one that is not complete is used as far as it goes, with a warning.

        Raises:
            SourceMissingError: no such folder, or none that an extraction made.
            DataError: a record that no extraction wrote.
            MissingExtraError: pyarrow is not installed.
        """
        where = text = str(output)
        if not is_uri(text) and not (user_path(text) / FOLDER / RECORD).is_file():
            raise SourceMissingError.about(
                where, f"is no output of `maezoo extract`: there is no {FOLDER}/{RECORD} in it."
            )
        records, store = open_store(path_in(output, FOLDER)), open_store(output)
        if RECORD not in records.names():
            raise SourceMissingError.about(where, f"is no output of `maezoo extract`: it has no {FOLDER}/{RECORD}.")
        record = read_record(records.read(RECORD), where)
        if not record.get("complete"):
            _log.warning("%s is not complete; only the rows that are there count.", where)
        names = tuple(name for name in store.names() if name.startswith("part-") and name.endswith(".parquet"))
        return cls(where, store, records, record["settings"], names)

    def batches(self, columns: Sequence[str]) -> "Iterator[pa.RecordBatch]":
        """Yield some columns of all rows, a few thousand rows at a time.

        Raises:
            DataError: a file that cannot be read, or that lacks a column.
        """
        pa = require_pyarrow()
        damaged: tuple[type[Exception], ...] = (pa.ArrowException, KeyError, UnicodeDecodeError)
        for name in self.names:
            try:
                with self.store.open(name) as opened, pa.parquet.ParquetFile(opened, pre_buffer=False) as file:
                    yield from file.iter_batches(_ROWS, columns=list(columns))
            except damaged as error:
                raise DataError.about(f"{self.where}/{name}", f"cannot be read: {error}.") from error

    def vectors(self, more: Sequence[str] = ()) -> Iterator[tuple["pa.RecordBatch", NDArray[Any]]]:
        """Yield rows with `id` and more columns, and their embeddings (n, D), as they are stored."""
        for batch in self.batches(["id", "embedding", *more]):
            column = batch.column("embedding")
            yield batch, column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), column.type.list_size)

    @cached_property
    def mean(self) -> Floats:
        """The mean (D,) of all embeddings.

        Raises:
            DataError: there are no rows.
        """
        total, rows = np.zeros(1), 0
        for _, vectors in self.vectors():
            total = total + vectors.sum(axis=0, dtype=np.float64)
            rows += len(vectors)
        if not rows:
            raise DataError.about(self.where, "holds no rows.")
        return (total / rows).astype(np.float32)


def centred(vectors: NDArray[Any], mean: Floats) -> Floats:
    """Subtract the mean (D,) from each row (n, D), and divide by the length.

    Returns:
        (n, D + 1) of length 1. The last number is 0, and 1 for a row that equals the mean, which has no direction: the
        product of two such rows is 1, as of other rows that are equal.

    Example:
        >>> centred(np.array([[3, 4], [1, 4]], np.float16), np.array([1, 4], np.float32)).tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    plain = vectors.astype(np.float32)
    rest = plain - mean
    length = np.linalg.norm(rest, axis=1, keepdims=True)  # (n, 1)
    some = length > _EQUAL * np.linalg.norm(plain, axis=1, keepdims=True)
    found = np.divide(rest, length, out=np.zeros_like(rest), where=some)
    return np.hstack([found, ~some])
