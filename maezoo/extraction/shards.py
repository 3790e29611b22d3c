"""One file of the output: the rows of a range of items, and in its metadata which range, which run and what failed.

A file holds its own failures, so each range is one thing to write, and no two files can disagree.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maezoo.extraction.arrow import parquet_errors, require_pyarrow
from maezoo.extraction.decode import Chunk, Row, chunk_starts
from maezoo.extraction.failures import Failure
from maezoo.files import parse_json

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Shard", "ShardNote", "Span", "error_table", "read_note", "shard_name"]

_KEY = b"maezoo"


@dataclass
class Shard:
    """The rows of consecutive items.

    Attributes:
        first: number of the first item.
        count: items covered: rows + failures, except for a chunk that was tried again in vain.
        rows: of the images that could be read.
        vectors: their embeddings, one (b, D) array for each batch, which may be (0, D).
        failures: of the other images.
    """

    first: int
    count: int = 0
    rows: list[Row] = field(default_factory=list)
    vectors: list[NDArray[Any]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def append(self, other: "Shard") -> None:
        """Add the items that follow."""
        self.count += other.count
        self.rows += other.rows
        self.vectors += other.vectors
        self.failures += other.failures

    def with_pieces(self, pieces: "list[Shard]") -> "Shard":
        """Return the shard with the rows of pieces of it put in; an image that failed in them keeps the row it had."""
        rows = self._by_number()
        failures = {failure.number: failure for failure in self.failures}
        for piece in pieces:
            rows |= piece._by_number()
            failures |= {failure.number: failure for failure in piece.failures}
        found = [rows[number] for number in sorted(rows)]
        vectors = np.stack([vector for _, vector in found]) if found else np.concatenate(self.vectors)
        left = [failures[number] for number in sorted(failures.keys() - rows.keys())]
        return Shard(self.first, self.count, [row for row, _ in found], [vectors], left)

    def _by_number(self) -> dict[int, tuple[Row, NDArray[Any]]]:
        """Return row and embedding of each item that has them."""
        return dict(zip(self.row_numbers(), zip(self.rows, np.concatenate(self.vectors), strict=True), strict=False))

    def row_numbers(self) -> list[int]:
        """Return the numbers of the items that have rows, in their order."""
        failed = {failure.number for failure in self.failures}
        return [number for number in range(self.first, self.first + self.count) if number not in failed]

    def to_table(
        self, run: str = "", *, labels: bool = True, kept: "Mapping[str, pa.ChunkedArray] | None" = None
    ) -> "pa.Table":
        """Return all of the shard as a table, for a file or for another process.

        Args:
            run: the run's fingerprint.
            labels: whether there is a column of labels.
            kept: further columns, of all rows.
        """
        pa = require_pyarrow()
        vectors = np.concatenate(self.vectors)
        columns: dict[str, Any] = {
            "id": pa.array([row.id for row in self.rows], pa.string()),
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1]),
        }
        if labels:
            columns["label"] = pa.array([row.label for row in self.rows], pa.string())
        columns["width"] = pa.array([row.width for row in self.rows], pa.int32())
        columns["height"] = pa.array([row.height for row in self.rows], pa.int32())
        note = {"run": run, "first": self.first, "count": self.count, "failures": self.failures}
        return pa.table(columns | dict(kept or {})).replace_schema_metadata({_KEY: json.dumps(note)})

    @classmethod
    def from_table(cls, table: "pa.Table") -> "Shard":
        """Read a shard back."""
        note = _note(table.schema)
        names = [name for name in ("id", "label", "width", "height") if name in table.column_names]
        rows = [Row(**{"label": None, **row}) for row in table.select(names).to_pylist()]
        column = table["embedding"].combine_chunks()
        vectors = column.flatten().to_numpy(zero_copy_only=False).reshape(len(rows), column.type.list_size)
        return cls(note.first, note.count, rows, [vectors], note.failures)


@dataclass(frozen=True)
class Span:
    """One shard's range of items, of which some are missing.

    Attributes:
        number: the shard's.
        start: number of its first item.
        stop: one past its last.
        begun: the beginning of it that an interrupted run has kept.
        again: numbers of the items to try again, if the shard is finished and others could be read.
    """

    number: int
    start: int
    stop: int
    begun: Shard | None = None
    again: tuple[int, ...] = ()

    @property
    def next(self) -> int:
        """The first item that is missing."""
        return self.start if self.begun is None else self.begun.first + self.begun.count

    @property
    def missing(self) -> int:
        """How many items are missing."""
        return len(self.again) or self.stop - self.next

    def chunks(self, size: int) -> list[Chunk]:
        """Cut what is missing into chunks; of a finished shard, only those with an item to try again."""
        every = chunk_starts(self.next, self.stop, size)
        if not self.again:
            return every
        tried = [tuple(number for number in self.again if each.start <= number < each.stop) for each in every]
        return [each._replace(again=again) for each, again in zip(every, tried, strict=True) if again]


@dataclass(frozen=True)
class ShardNote:
    """The metadata of a shard's file: run, range, rows and failures."""

    run: str
    first: int
    count: int
    rows: int
    failures: list[Failure]


def shard_name(number: int) -> str:
    """Return the name of a shard's file.

    Example:
        >>> shard_name(12)
        'part-000012.parquet'
    """
    return f"part-{number:06d}.parquet"


def read_note(opened: IO[bytes]) -> ShardNote | None:
    """Read a file's note; `None` if it is damaged or not one of ours."""
    pa = require_pyarrow()
    try:
        file = pa.parquet.ParquetFile(opened)
        note = _note(file.schema_arrow)
    except parquet_errors():
        return None
    except (KeyError, ValueError, TypeError):
        return None
    rows = file.metadata.num_rows
    return ShardNote(note.run, note.first, note.count, rows, note.failures) if _adds_up(note, rows) else None


def error_table(failures: list[Failure]) -> "pa.Table":
    """Return failures as the table that `errors.parquet` and `pending.parquet` hold."""
    pa = require_pyarrow()
    names = ("id", "error", "message")
    return pa.table({name: pa.array([getattr(f, name) for f in failures], pa.string()) for name in names})


def _note(schema: "pa.Schema") -> ShardNote:
    note = parse_json(schema.metadata[_KEY])
    return ShardNote(note["run"], note["first"], note["count"], 0, [Failure(*each) for each in note["failures"]])


def _adds_up(note: ShardNote, rows: int) -> bool:
    return rows + len(note.failures) == note.count
