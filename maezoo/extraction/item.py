"""One image of an extraction: where it is, how its bytes are fetched, and its stamp, which changes when it does."""

import hashlib
import io
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from maezoo.errors import DataError
from maezoo.extraction.failures import reading_errors
from maezoo.extraction.parquet_rows import row_bytes
from maezoo.extraction.remote import download, is_uri, is_web, open_filesystem

__all__ = ["Clock", "Item", "fetch", "hashed", "image_bytes"]

_ALONE = -1  # the offset of an item that is a file of its own


@dataclass(frozen=True)
class Item:
    """One image.

    Attributes:
        id: its name in the output, unique within a source.
        location: the file it is in, as the operating system spells it, or its URI.
        label: of the image, when labels were asked for and it has one.
        offset: where in the file it begins, or its row in a Parquet file; -1 if it is a file of its own.
        size: in bytes, if it is a part of the file.
        stamp: size and time of the file that it is in, or the hash of its bytes; empty if it was not looked at.
        column: of the Parquet file that holds its bytes.
        kept: values of the columns that are copied to the output.
    """

    id: str
    location: bytes
    label: str | None = None
    offset: int = _ALONE
    size: int = 0
    stamp: str = ""
    column: str | None = None
    kept: tuple[Any, ...] = ()


def fetch(item: Item) -> Path | io.BytesIO:
    """Return what Pillow can open: the file's path, or the bytes of a part or of a remote file.

    Raises:
        OSError: the file is gone, unreadable or shorter than it was.
    """
    location = os.fsdecode(item.location)
    if item.column is not None:
        return io.BytesIO(row_bytes(location, item.column, item.offset))
    if is_web(location):
        part = None if item.offset == _ALONE else (item.offset, item.offset + item.size)
        return io.BytesIO(download(location, part))
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


class Clock:
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


def hashed(item: Item) -> Item:
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
