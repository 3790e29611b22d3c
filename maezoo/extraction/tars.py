"""Tar shards in webdataset's layout.

The webdataset library reads shards as streams, from their start. Here each image's place in its shard is listed
first, from the headers alone, so that workers read any of them at once and a resumed run starts in the middle.
"""

import io
import logging
import os
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from maezoo.errors import DataError
from maezoo.extraction.columns import Columns
from maezoo.extraction.item import Item
from maezoo.extraction.lists import printable
from maezoo.extraction.opening import last_name, location_of, open_location
from maezoo.extraction.remote import is_uri
from maezoo.extraction.samples import Sample, filled_columns
from maezoo.listing import counts, is_hidden

__all__ = ["tar_items"]

_MOST_TEXT = 64 * 1024  # bytes of a `.cls` or `.txt` member
_MOST_JSON = 1024 * 1024  # of a `.json` member
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


def tar_items(
    path: str | Path,
    *,
    labels: bool = False,
    columns: Columns | None = None,
    endings: frozenset[str] | None = None,
) -> Iterator[Item]:
    """Yield the images of a shard in their order: `000123.jpg`, with its label in `000123.cls`.

    A column is a key of the sample's `.json` member, or the ending of a member with text, such as `txt`. Hidden members
    are left out, as hidden files of a folder are.

    Args:
        path: an uncompressed tar file, or its URI.
        labels: take the `.cls` members; in a shard without any, the key `label` of the `.json` members; in one that has
            neither, the `.txt` members.
        columns: those that the user has named.
        endings: of the members that count; those of images when `None`.

    Raises:
        DataError: no tar file, one that is damaged or cut short, a name that occurs twice in it, a sparse image, a
            member of text that is too long or no JSON, or a column that is missing.
    """
    columns = columns or Columns()
    columns.refuse(path, "a shard holds the images themselves.", "id", "label", "keep")
    named = {*columns.keep, columns.id, columns.label} - {None}
    read = named | ({"json"} if named else set())
    # Without a name for the labels, the other members matter only in a shard that has no .cls, and may be anything.
    tried = {"cls", "json", "txt"} - read if labels and columns.label is None else set()
    images: list[tarfile.TarInfo] = []
    samples: dict[str, Sample] = {}
    names: set[str] = set()
    try:
        with _Headers(open_location(path)) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in _members(path, tar, file):
                key, ending = _parts(member.name)
                is_image = counts(member.name, endings)
                if is_hidden(member.name) or not (is_image or ending in read | tried):
                    continue
                if member.name in names:
                    raise DataError.about(path, f"holds {printable(member.name)} twice; write the shard again.")
                names.add(member.name)
                if is_image and member.issparse():
                    shown = printable(member.name)
                    raise DataError.about(path, f"holds {shown} as a sparse file; write it without --sparse.")
                if ending == "cls":
                    tried &= {"cls"}
                if ending in read | {"cls"}:
                    samples.setdefault(key, Sample()).add(ending, _text(path, tar, member), f"{path}: {member.name}")
                elif ending in tried:
                    with suppress(DataError):
                        text = _text(path, tar, member)
                        samples.setdefault(key, Sample()).add(ending, text, member.name)
                if is_image:
                    images.append(member)
    except (tarfile.TarError, OSError, ValueError, OverflowError, RecursionError) as error:
        if isinstance(error, DataError) or (isinstance(error, OSError) and is_uri(str(path))):
            raise  # what a server says tells nothing of the shard
        raise DataError.about(path, f"is not a complete, uncompressed tar file: {error}.") from error
    location = location_of(path)
    filled = filled_columns(path, [samples.get(_parts(each.name)[0], Sample()) for each in images], labels, columns)
    for member, facts in zip(images, filled, strict=True):
        name = facts.id or printable(f"{last_name(path)}/{member.name}")
        yield Item(name, location, facts.label, member.offset_data, member.size, kept=facts.kept)


def _members(path: str | Path, tar: tarfile.TarFile, file: io.BufferedReader) -> Iterator[tarfile.TarInfo]:
    """Yield the regular files of a shard.

    `tarfile` itself takes a damaged header for the end, and follows a negative size back to where it was.
    """
    here = file.tell()
    size, before = file.seek(0, os.SEEK_END), -1
    file.seek(here)
    for member in tar:
        if not before < member.offset < tar.offset or member.size < 0:
            raise DataError.about(path, f"is damaged at byte {member.offset:,}: a member of {member.size:,} bytes.")
        before = member.offset
        if not member.isfile():
            continue
        if member.offset_data + (0 if member.issparse() else member.size) > size:
            raise DataError.about(path, f"is cut short inside {printable(member.name)}; fetch it again.")
        yield member
        tar.members = []  # type: ignore[attr-defined]  # else all headers would be kept
    _check_end(path, tar, file)


def _check_end(path: str | Path, tar: tarfile.TarFile, file: io.BufferedReader) -> None:
    """Refuse a shard with data after its last readable header: what follows would be missed."""
    file.seek(tar.offset)
    block = file.read(tarfile.BLOCKSIZE)
    if block.strip(b"\0"):
        raise DataError.about(path, f"is damaged or cut short at byte {tar.offset:,}; fetch it again.")
    if len(block) < tarfile.BLOCKSIZE:
        _log.warning("%s has no end mark; should it be cut short, images are missing.", path)


def _parts(name: str) -> tuple[str, str]:
    """Return what the members of one sample share, the name up to the first dot of its last part; and its ending."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0], file.rpartition(".")[2]


def _text(path: str | Path, tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    """Return the text of a member."""
    most = _MOST_JSON if member.name.endswith(".json") else _MOST_TEXT
    if member.size > most:
        raise DataError(
            f"{path}: {printable(member.name)} has {member.size:,} bytes of text, more than {most:,}.", path=path
        )
    file = tar.extractfile(member)
    return file.read().decode("utf-8", "backslashreplace").strip() if file else ""
