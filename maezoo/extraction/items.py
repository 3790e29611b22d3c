"""The numbered list of an extraction's images."""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from maezoo.errors import DataError
from maezoo.extraction.arrow import buffers_of, bytes_to_table, require_pyarrow, table_to_bytes
from maezoo.extraction.columns import Json, kept_array, typed
from maezoo.extraction.item import Clock, Item, hashed

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ITEMS", "Changes", "Items"]

ITEMS = "items.arrow"
"""File of an output that holds the list."""

_BATCH = 10_000
_TYPES = {
    "id": "string",
    "location": "binary",
    "label": "string",
    "offset": "int64",
    "size": "int64",
    "stamp": "string",
    "column": "string",
}
_KEPT = "kept "  # begins the names of columns that are copied to the output


class Changes(NamedTuple):
    """How a source differs from the list that a run began with; the numbers of images."""

    added: int
    gone: int
    changed: int


class Items:
    """The numbered images of a source, kept as an Arrow table: about a hundred bytes each.

    Args:
        table: one row for each, with the fields of `Item` as columns, then what is kept.
    """

    def __init__(self, table: "pa.Table") -> None:
        self.table = table

    @classmethod
    def collect(
        cls, items: Iterable[Item], limit: int | None = None, *, contents: bool = False, keep: Sequence[str] = ()
    ) -> "Items":
        """Keep items in their order, each with its stamp.

        Args:
            items: of a source.
            limit: keep at most this many.
            contents: the stamp is a hash of the image's bytes, all of which are read for it.
            keep: names of the columns whose values the items bring along.

        Raises:
            DataError: an id that occurs twice.
        """
        stamped = hashed if contents else Clock().stamped
        found, json = islice(items, limit), set[int]()
        tables = [_table([], keep)]
        while batch := [stamped(item) for item in islice(found, _BATCH)]:
            tables.append(_table(batch, keep))
            json |= {number for item in batch for number, value in enumerate(item.kept) if isinstance(value, Json)}
        table = require_pyarrow().concat_tables(tables if len(tables) == 1 else tables[1:])
        for number in json:
            column = len(_TYPES) + number
            table = table.set_column(column, table.column_names[column], typed(table.column(column)))
        _check_unique(table["id"])
        return cls(table.combine_chunks())

    @classmethod
    def from_bytes(cls, data: bytes) -> "Items":
        """Read what `to_bytes` gave."""
        return cls(bytes_to_table(data))

    def to_bytes(self) -> bytes:
        """Return the list as an Arrow file."""
        return table_to_bytes(self.table)

    def __len__(self) -> int:
        """Return the number of images."""
        return int(self.table.num_rows)

    def slice(self, start: int, stop: int) -> list[Item]:
        """Return the images numbered from `start` up to `stop`."""
        return [Item(**row) for row in self.table.select([*_TYPES]).slice(start, stop - start).to_pylist()]

    def kept(self, numbers: Sequence[int]) -> "dict[str, pa.ChunkedArray]":
        """Return the columns that are copied to the output, of the images with these numbers."""
        rows = require_pyarrow().array(numbers, "int64")
        return {name.removeprefix(_KEPT): self.table[name].take(rows) for name in self._kept_names()}

    def _kept_names(self) -> list[str]:
        return [name for name in self.table.column_names if name.startswith(_KEPT)]

    def fingerprint(self) -> str:
        """Return a hash of all ids, labels and kept values in order."""
        digest = hashlib.sha256()
        for batch in self.table.select(["id", "label"]).to_batches(max_chunksize=_BATCH):
            digest.update(repr(batch.to_pydict()).encode("utf-8", "surrogatepass"))
        if kept := self._kept_names():
            for name, data in buffers_of(self.table.select(kept)):
                digest.update(name.encode("utf-8", "surrogatepass") + data)
        return digest.hexdigest()

    def stamps(self, start: int, stop: int) -> str:
        """Return a hash that changes when one of the images numbered from `start` up to `stop` does."""
        part = self.table.slice(start, stop - start).select(["offset", "size", "stamp"])
        return hashlib.sha256(repr(part.to_pydict()).encode()).hexdigest()

    def updated(self, now: "Items") -> tuple["Items", Changes]:
        """Return the same images where the source has them now, and what has changed.

        Images that are gone, and those whose files could not be looked up, stay as they were.
        """
        pa = require_pyarrow()
        where = {name: number for number, name in enumerate(now.table["id"].to_pylist())}
        stamps = self.table["stamp"].to_pylist(), now.table["stamp"].to_pylist()
        taken, gone, changed = [], 0, 0
        for number, name in enumerate(self.table["id"].to_pylist()):
            found = where.pop(name, None)
            gone += found is None
            if found is None or not stamps[1][found]:
                taken.append(number)
                continue
            taken.append(len(self) + found)
            changed += stamps[0][number] not in ("", stamps[1][found])
        table = pa.concat_tables([each.table.select([*_TYPES]) for each in (self, now)]).take(taken)
        for name in ("id", "label"):
            table = table.set_column(table.column_names.index(name), name, self.table[name])
        for name in self._kept_names():
            table = table.append_column(name, self.table[name])
        return Items(table.combine_chunks()), Changes(added=len(where), gone=gone, changed=changed)


def _table(items: Sequence[Item], keep: Sequence[str]) -> "pa.Table":
    """Return items as a table."""
    pa = require_pyarrow()
    columns = {
        name: pa.array([getattr(item, name) for item in items], getattr(pa, kind)()) for name, kind in _TYPES.items()
    }
    return pa.table(
        columns | {_KEPT + name: kept_array([item.kept[number] for item in items]) for number, name in enumerate(keep)}
    )


def _check_unique(ids: "pa.ChunkedArray") -> None:
    """Refuse ids of which one occurs twice."""
    import pyarrow.compute as pc

    if pc.count_distinct(ids).as_py() == len(ids):
        return
    counts = ids.value_counts()
    twice = counts.filter(pc.greater(counts.field(1), 1)).field(0)
    raise DataError(
        f"{len(twice):,} ids occur more than once, such as {twice[0].as_py()!r}; each id must be unique. Name another "
        "column for the ids.",
        found=twice[0].as_py(),
    )
