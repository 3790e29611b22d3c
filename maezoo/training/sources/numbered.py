"""The numbered list of a source's images, small enough for millions of them."""

import itertools
import zipfile
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maezoo.errors import DataError
from maezoo.extraction.item import Item
from maezoo.files import written_whole

__all__ = ["Numbered"]


class Numbered:
    """Items by number, without labels: their names, and some thirty bytes each.

    Args:
        items: of one or more sources, one after the other.

    Example:
        >>> items = Numbered([Item("a.jpg", b"/a.jpg"), Item("s.tar/b.jpg", b"/s.tar", None, 512, 99)])
        >>> len(items), items[1].id, items[1].offset
        (2, 's.tar/b.jpg', 512)
    """

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._ids, self._locations = _Strings(), _Strings()
        self._file, self._offsets, self._sizes = array("q"), array("q"), array("q")
        self._columns: dict[int, str] = {}  # by file
        for item in items:
            self.append(item)

    def append(self, item: Item) -> None:
        """Add an item; one in the same file as the item before it shares that file's name."""
        last = len(self._locations) - 1
        if last < 0 or self._locations[last] != item.location or self._columns.get(last) != item.column:
            self._locations.append(item.location)
            last += 1
            if item.column is not None:
                self._columns[last] = item.column
        self._ids.append(item.id.encode("utf-8", "surrogatepass"))
        self._file.append(last)
        self._offsets.append(item.offset)
        self._sizes.append(item.size)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._file)

    def __getitem__(self, index: int) -> Item:
        """Return the image of a number."""
        file = self._file[index]
        name = self._ids[index].decode("utf-8", "surrogatepass")
        offset, size = self._offsets[index], self._sizes[index]
        return Item(name, self._locations[file], None, offset, size, column=self._columns.get(file))

    def __iter__(self) -> Iterator[Item]:
        """Yield all images."""
        return (self[index] for index in range(len(self)))

    def rows(self) -> Iterator[tuple[bytes, int, int]]:
        """Yield name, offset and size of all images; several times as fast as making an item of each."""
        names, ends = bytes(self._ids.data), self._ids.ends
        spans = zip(itertools.pairwise(ends), self._offsets, self._sizes, strict=True)
        return ((names[start:end], offset, size) for (start, end), offset, size in spans)

    def locations(self) -> Iterator[bytes]:
        """Yield the locations of the files that hold the images, in order."""
        return (self._locations[file] for file in range(len(self._locations)))

    def tables(self) -> dict[int, tuple[bytes, str]]:
        """Return location and column of each Parquet file that holds images, by its number."""
        return {file: (self._locations[file], column) for file, column in self._columns.items()}

    def places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return for each image the number of its file, and its offset or row in it; both (n,)."""
        return np.frombuffer(self._file, np.int64), np.frombuffer(self._offsets, np.int64)

    def save_shard(self, path: Path, stamp: str) -> None:
        """Keep the list of one shard; the file appears complete or not at all."""
        with written_whole(path) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                names=np.frombuffer(self._ids.data, np.uint8),
                ends=np.frombuffer(self._ids.ends, np.int64),
                offsets=np.frombuffer(self._offsets, np.int64),
                sizes=np.frombuffer(self._sizes, np.int64),
                stamp=np.frombuffer(stamp.encode(), np.uint8),
            )

    @classmethod
    def load_shard(cls, path: Path, location: bytes, stamp: str) -> "Numbered | None":
        """Read what `save_shard` kept; `None` if there is nothing, or nothing that fits the shard as it is now."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
                names, ends, offsets, sizes = (kept[name] for name in ("names", "ends", "offsets", "sizes"))
                fits = kept["stamp"].tobytes() == stamp.encode()
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        if not fits or not _are_sound(names, ends, offsets, sizes):
            return None
        data, found = names.tobytes(), cls()
        for start, end, offset, size in zip(ends[:-1], ends[1:], offsets, sizes, strict=True):
            name = data[start:end].decode("utf-8", "replace")
            found.append(Item(name, location, None, int(offset), int(size)))
        return found


class _Strings:
    """Strings of bytes, end to end."""

    def __init__(self) -> None:
        self.data, self.ends = bytearray(), array("q", [0])

    def append(self, text: bytes) -> None:
        self.data += text
        self.ends.append(len(self.data))

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, index: int) -> bytes:
        if not 0 <= index < len(self):
            raise DataError(f"there are {len(self):,} images; number {index:,} is none of them.", index=index)
        return bytes(self.data[self.ends[index] : self.ends[index + 1]])


def _are_sound(*arrays: NDArray[np.generic]) -> bool:
    """Whether the arrays of a kept list fit together."""
    names, ends, offsets, sizes = arrays
    if names.dtype != np.uint8 or any(each.dtype != np.int64 or each.ndim != 1 for each in (ends, offsets, sizes)):
        return False
    count = len(offsets)
    if len(ends) != count + 1 or len(sizes) != count or ends[0] != 0 or ends[-1] != names.size:
        return False
    rising = not count or bool((np.diff(ends.astype(np.int64)) >= 0).all())
    return rising and (not count or bool((offsets.astype(np.int64) >= 0).all() and (sizes.astype(np.int64) >= 0).all()))
