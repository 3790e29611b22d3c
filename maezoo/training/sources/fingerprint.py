"""What tells the images of a run from other images without reading them: their number, names, and sizes."""

import hashlib
import itertools
import math
import os
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from maezoo.extraction.item import Item
from maezoo.extraction.remote import is_uri
from maezoo.training.sources.numbered import Numbered

__all__ = ["fingerprint", "fingerprint_of"]

_LOOKED_UP = 1000  # files whose sizes are asked for, at most
_TOGETHER = 10_000  # images that are hashed at a time


class _Items(Protocol):
    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Item: ...


def fingerprint_of(source: Any) -> dict[str, Any]:
    """Return the fingerprint of a source: its own, or the number of its images where it has none."""
    own = getattr(source, "fingerprint", None)
    found: dict[str, Any] = {"count": len(source)} if own is None else own()
    return found


def fingerprint(items: _Items) -> dict[str, Any]:
    """Return what changes when images are added, taken away, renamed, reordered, relabelled or replaced.

    The folder that they are in may have moved. Of files on this machine, the sizes of up to a thousand are asked for,
    evenly spaced: one that is replaced among many more may go unnoticed.

    Returns:
        `count`; and hashes, `names` of names and labels in order, `sizes` of sizes and of places in shards.

    Raises:
        OSError: a file cannot be looked up for now.

    Example:
        >>> one, other = ([Item("a.jpg", b"/x/a.jpg")], [Item("b.jpg", b"/x/b.jpg")])
        >>> fingerprint(one)["names"] == fingerprint(other)["names"]
        False
    """
    names, sizes = hashlib.sha256(), hashlib.sha256()
    rows = _rows(items)
    while some := list(itertools.islice(rows, _TOGETHER)):
        names.update(b"".join(b"%b\0%b\n" % (name, label) for name, label, _, _ in some))
        sizes.update("".join(f"{offset} {size}\n" for _, _, offset, size in some).encode())
    step = max(1, math.ceil(len(items) / _LOOKED_UP))
    for size in _file_sizes(items[index].location for index in range(0, len(items), step)):
        sizes.update(f"{size}\n".encode())
    return {"count": len(items), "names": names.hexdigest()[:16], "sizes": sizes.hexdigest()[:16]}


def _rows(items: _Items) -> Iterator[tuple[bytes, bytes, int, int]]:
    """Yield name, label, offset and size of all items."""
    if isinstance(items, Numbered):  # which has no labels
        return ((name, b"None", offset, size) for name, offset, size in items.rows())
    numbered = (items[index] for index in range(len(items)))
    return ((_bytes(item.id), _bytes(str(item.label)), item.offset, item.size) for item in numbered)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _file_sizes(locations: Iterable[bytes]) -> Iterable[int]:
    """Yield the size of each file on this machine once; -1 for one that is not there."""
    for location in dict.fromkeys(locations):
        if is_uri(os.fsdecode(location)):
            continue
        try:
            yield os.stat(location).st_size  # noqa: PTH116 - a location is bytes
        except (FileNotFoundError, NotADirectoryError, PermissionError, ValueError):
            yield -1  # it is left out of the run, too
