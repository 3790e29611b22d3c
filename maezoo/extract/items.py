"""What is to be read: the numbered list of an extraction's images, and how one of them is fetched."""

import hashlib
import io
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from maezoo.errors import DataError
from maezoo.extract.arrow import bytes_to_table, require_pyarrow, table_to_bytes
from maezoo.extract.store import is_uri, open_filesystem
from maezoo.extract.web import download, is_web

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Changes", "Item", "Items", "fetch"]

_WHOLE = -1  # the offset of an item that is a file of its own
_BATCH = 10_000


@dataclass(frozen=True)
class Item:
    """One image.

    Attributes:
        id: its name in the output, unique within a source that is.
        location: the file it is in, as the operating system spells it, or its URI.
        label: of the image, when labels were asked for and it has one.
        offset: where in the file it begins; -1 when it is the file.
        size: its bytes, when it is a part of the file.
    """

    id: str
    location: bytes
    label: str | None = None
    offset: int = _WHOLE
    size: int = 0


class Changes(NamedTuple):
    """How a source differs from the list that a run began with."""

    added: int
    gone: int


class Items:
    """The numbered images of a source, kept as an Arrow table: about a hundred bytes each.

    Args:
        table: one row for each, with the fields of `Item` as columns.
    """

    def __init__(self, table: "pa.Table") -> None:
        self.table = table

    @classmethod
    def collect(cls, items: Iterable[Item], limit: int | None = None) -> "Items":
        """Keep items, at most `limit` of them, in their order."""
        pa = require_pyarrow()
        schema = pa.schema(
            {
                "id": pa.string(),
                "location": pa.binary(),
                "label": pa.string(),
                "offset": pa.int64(),
                "size": pa.int64(),
            }.items()
        )
        batches, rows = [], list[tuple[object, ...]]()

        def pack() -> None:
            columns = list(zip(*rows, strict=True))
            batches.append(pa.record_batch([list(column) for column in columns], schema=schema))
            rows.clear()

        for number, item in enumerate(items):
            if limit is not None and number >= limit:
                break
            rows.append(astuple(item))
            if len(rows) == _BATCH:
                pack()
        if rows:
            pack()
        return cls(pa.Table.from_batches(batches, schema).combine_chunks())

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
        return [Item(**row) for row in self.table.slice(start, stop - start).to_pylist()]

    def fingerprint(self) -> str:
        """Return a hash of all ids and labels in order."""
        digest = hashlib.sha256()
        for batch in self.table.select(["id", "label"]).to_batches(max_chunksize=_BATCH):
            digest.update(repr(batch.to_pydict()).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def changes(self, now: "Items") -> Changes:
        """Compare with the source as it is now."""
        before, after = set(self._ids()), set(now._ids())
        return Changes(added=len(after - before), gone=len(before - after))

    def _ids(self) -> Iterator[str]:
        for batch in self.table.select(["id"]).to_batches():
            yield from batch.column(0).to_pylist()


def fetch(item: Item) -> Path | io.BytesIO:
    """Return what Pillow can open: the file's path, or the bytes of a part or of a remote file.

    Raises:
        OSError: the file is gone, unreadable or shorter than it was.
    """
    location = os.fsdecode(item.location)
    if is_web(location):
        return io.BytesIO(download(location))
    if is_uri(location):
        system, path = open_filesystem(location)
        with system.open_input_file(path) as file:
            return io.BytesIO(_part(file, item) if item.offset != _WHOLE else _read(file, None))
    if item.offset == _WHOLE:
        return _regular(Path(location))
    with Path(location).open("rb") as file:
        return io.BytesIO(_part(file, item))


def _regular(path: Path) -> Path:
    """Refuse what would never end: a pipe, a socket or a device that a list names."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise DataError(f"{path} is a pipe, a socket or a device; an image is a regular file.")
    return path


def _part(file: io.BufferedReader, item: Item) -> bytes:
    """Read an item's bytes out of the file that holds it."""
    file.seek(item.offset)
    data = _read(file, item.size)
    if len(data) != item.size:
        raise DataError(f"{os.fsdecode(item.location)} ends inside {item.id}: it is shorter than when it was listed.")
    return data


def _read(file: io.BufferedReader, size: int | None) -> bytes:
    """Read so many bytes, or all that follow; one read of a file far away may give fewer than it was asked for."""
    parts, wanted = list[bytes](), size
    while wanted is None or wanted > 0:
        part = file.read() if wanted is None else file.read(wanted)
        if not part:
            break
        parts.append(part)
        wanted = None if wanted is None else wanted - len(part)
    return b"".join(parts)
