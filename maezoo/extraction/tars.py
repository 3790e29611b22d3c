"""Tar shards in webdataset's layout.

The webdataset library reads shards as streams, from their start. Here each image's place in its shard is listed
first, from the headers alone, so that workers read any of them at once and a resumed run starts in the middle.
"""

import io
import logging
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from maezoo.errors import DataError
from maezoo.extraction.items import Item
from maezoo.extraction.lists import printable
from maezoo.listing import is_hidden, is_image

__all__ = ["tar_items"]

_MOST_LABEL = 64 * 1024  # bytes of a `.cls` member
_MOST_READ = 16 * 1024 * 1024  # bytes of one header, long names and pax records included
_log = logging.getLogger(__name__)


class _Headers(io.BufferedReader):
    """A file that refuses to read a header of a size that no header has, whatever the archive claims."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read `size` bytes.

        Raises:
            tarfile.ReadError: they are too many, or a negative number.
        """
        if size is None or not 0 <= size <= _MOST_READ:
            raise tarfile.ReadError(f"a header claims {size} bytes")
        return super().read(size)


def tar_items(path: Path, *, labels: bool = False) -> Iterator[Item]:
    """Yield the images of a shard in their order: `000123.jpg`, with the label in `000123.cls`.

    Hidden members are left out, as hidden files of a folder are.

    Args:
        path: an uncompressed tar file.
        labels: read the `.cls` members.

    Raises:
        DataError: no tar file, one that is damaged or cut short, a name that occurs twice in it, a sparse image, or a
            label of more than 64 KiB.
    """
    images: list[tarfile.TarInfo] = []
    found: dict[str, str] = {}
    names: set[str] = set()
    try:
        with _Headers(io.FileIO(path)) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in _members(path, tar):
                is_label = labels and member.name.endswith(".cls")
                if is_hidden(member.name) or not (is_image(member.name) or is_label):
                    continue
                if member.name in names:
                    raise DataError.about(path, f"holds {printable(member.name)} twice; write the shard again.")
                names.add(member.name)
                if is_label:
                    found[_key(member.name)] = _label(path, tar, member)
                else:
                    images.append(member)
    except (tarfile.TarError, OSError, ValueError, OverflowError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError.about(path, f"is not a complete, uncompressed tar file: {error}.") from error
    location = os.fsencode(path.absolute())
    for member in images:
        name = printable(f"{path.name}/{member.name}")
        yield Item(name, location, found.get(_key(member.name)), member.offset_data, member.size)


def _members(path: Path, tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the regular files of a shard.

    `tarfile` itself takes a damaged header for the end, and follows a negative size back to where it was.
    """
    size, before = path.stat().st_size, -1
    for member in tar:
        if not before < member.offset < tar.offset or member.size < 0:
            raise DataError.about(path, f"is damaged at byte {member.offset:,}: a member of {member.size:,} bytes.")
        before = member.offset
        if not member.isfile():
            continue
        if member.issparse() and is_image(member.name):
            raise DataError.about(path, f"holds {printable(member.name)} as a sparse file; write it without --sparse.")
        if member.offset_data + (0 if member.issparse() else member.size) > size:
            raise DataError.about(path, f"is cut short inside {printable(member.name)}; fetch it again.")
        yield member
        tar.members = []  # type: ignore[attr-defined]  # else all headers would be kept
    _check_end(path, tar)


def _check_end(path: Path, tar: tarfile.TarFile) -> None:
    """Refuse a shard with data after its last readable header: what follows would be missed."""
    with path.open("rb") as file:
        file.seek(tar.offset)
        block = file.read(tarfile.BLOCKSIZE)
    if block.strip(b"\0"):
        raise DataError.about(path, f"is damaged or cut short at byte {tar.offset:,}; fetch it again.")
    if len(block) < tarfile.BLOCKSIZE:
        _log.warning("%s has no end mark; should it be cut short, images are missing.", path)


def _key(name: str) -> str:
    """Return what the members of one sample share: the name up to the first dot after the last slash."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


def _label(path: Path, tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    """Return the text of a `.cls` member."""
    if member.size > _MOST_LABEL:
        raise DataError(
            f"{path}: the label {printable(member.name)} has {member.size:,} bytes, more than 65,536.", path=path
        )
    file = tar.extractfile(member)
    return file.read().decode("utf-8", "backslashreplace").strip() if file else ""
