"""The numbered list of an extraction's images, and how one of them is fetched."""

import hashlib
import io
import os
import stat
from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from maezoo.errors import DataError
from maezoo.extraction.arrow import bytes_to_table, require_pyarrow, table_to_bytes
from maezoo.extraction.failures import reading_errors
from maezoo.extraction.remote import download, is_uri, is_web, open_filesystem

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Changes", "Item", "Items", "fetch", "image_bytes"]

_ALONE = -1  # the offset of an item that is a file of its own
_BATCH = 10_000


@dataclass(frozen=True)
class Item:
    """One image.

    Attributes:
        id: its name in the output, unique within a source.
        location: the file it is in, as the operating system spells it, or its URI.
        label: of the image, when labels were asked for and it has one.
        offset: where in the file it begins; -1 if it is a file of its own.
        size: in bytes, if it is a part of the file.
        stamp: size and time of the file that it is in, or the hash of its bytes; empty if it was not looked at.
    """

    id: str
    location: bytes
    label: str | None = None
    offset: int = _ALONE
    size: int = 0
    stamp: str = ""


class Changes(NamedTuple):
    """How a source differs from the list that a run began with; the numbers of images."""

    added: int
    gone: int
    changed: int


class Items:
    """The numbered images of a source, kept as an Arrow table: about a hundred bytes each.

    Args:
        table: one row for each, with the fields of `Item` as columns.
    """

    def __init__(self, table: "pa.Table") -> None:
        self.table = table

    @classmethod
    def collect(cls, items: Iterable[Item], limit: int | None = None, *, contents: bool = False) -> "Items":
        """Keep items in their order, each with its stamp.

        Args:
            items: of a source.
            limit: keep at most this many.
            contents: the stamp is a hash of the image's bytes, all of which are read for it.
        """
        pa = require_pyarrow()
        schema = pa.schema(
            {
                "id": pa.string(),
                "location": pa.binary(),
                "label": pa.string(),
                "offset": pa.int64(),
                "size": pa.int64(),
                "stamp": pa.string(),
            }.items()
        )
        stamped = _hashed if contents else _Clock().stamped
        batches, rows = [], list[tuple[object, ...]]()

        def pack() -> None:
            columns = list(zip(*rows, strict=True))
            batches.append(pa.record_batch([list(column) for column in columns], schema=schema))
            rows.clear()

        for number, item in enumerate(items):
            if limit is not None and number >= limit:
                break
            rows.append(astuple(stamped(item)))
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
        table = pa.concat_tables([self.table, now.table]).take(taken)
        for column, name in enumerate(("id", "location", "label")):
            if name != "location":
                table = table.set_column(column, name, self.table[name])
        return Items(table.combine_chunks()), Changes(added=len(where), gone=gone, changed=changed)


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
            return io.BytesIO(_part(file, item) if item.offset != _ALONE else _read(file, None))
    if item.offset == _ALONE:
        return _regular(Path(location))
    with Path(location).open("rb") as file:
        return io.BytesIO(_part(file, item))


def _regular(path: Path) -> Path:
    """Refuse a pipe, a socket or a device, whose reading might never end."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise DataError.about(path, "is a pipe, a socket or a device; an image is a regular file.")
    return path


def image_bytes(item: Item) -> bytes:
    """Return an image's bytes; errors are those of `fetch` and of file systems."""
    source = fetch(item)
    return source.read_bytes() if isinstance(source, Path) else source.getvalue()


class _Clock:
    """Looks up size and time of files; only once for a file that holds many images."""

    def __init__(self) -> None:
        self._last: tuple[bytes, str] = (b"", "")

    def stamped(self, item: Item) -> Item:
        """Return an item with its file's size and time, unless its source has given them."""
        if item.stamp or is_uri(os.fsdecode(item.location)):
            return item
        if item.location != self._last[0]:
            self._last = item.location, self._look(item.location)
        return replace(item, stamp=self._last[1])

    def _look(self, location: bytes) -> str:
        try:
            found = os.stat(location)  # noqa: PTH116 - a location is bytes
        except (OSError, ValueError):  # reading the image will say what is wrong
            return ""
        return f"{found.st_size} {found.st_mtime_ns}"


def _hashed(item: Item) -> Item:
    """Return an item with the hash of its bytes."""
    try:
        return replace(item, stamp=hashlib.sha256(image_bytes(item)).hexdigest())
    except reading_errors():
        return replace(item, stamp="")


def _part(file: io.BufferedReader, item: Item) -> bytes:
    """Read an item's bytes out of the file that holds it."""
    file.seek(item.offset)
    data = _read(file, item.size)
    if len(data) != item.size:
        where = os.fsdecode(item.location)
        raise DataError.about(where, f"ends inside {item.id}: it is shorter than when it was listed.")
    return data


def _read(file: io.BufferedReader, size: int | None) -> bytes:
    """Read `size` bytes, or all that follow; one read of a remote file may give fewer than it was asked for."""
    parts, wanted = list[bytes](), size
    while wanted is None or wanted > 0:
        part = file.read() if wanted is None else file.read(wanted)
        if not part:
            break
        parts.append(part)
        wanted = None if wanted is None else wanted - len(part)
    return b"".join(parts)
