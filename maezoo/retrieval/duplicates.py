"""Groups of images that are alike, and the table of them."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from maezoo.errors import ArgumentError
from maezoo.extraction.arrow import parquet_bytes, require_pyarrow
from maezoo.files import is_stream, written_whole
from maezoo.paths import user_path

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Duplicates", "Group", "Member", "check_table"]

_SUFFIXES = (".csv", ".parquet")


class Member(NamedTuple):
    """An image of a group.

    Attributes:
        id: its name in the output.
        similarity: cosine of its centred embedding and that of the group's kept image.
        exact: its file has the same bytes as that of an image before it in the group; `None` if that is not known.
        width: of the upright picture.
        height: of the upright picture.
    """

    id: str
    similarity: float
    exact: bool | None
    width: int
    height: int


class Group(NamedTuple):
    """Images that are alike.

    Attributes:
        kept: the one with the most pixels, or of these the first.
        others: the other images, the most similar to it first.
    """

    kept: Member
    others: tuple[Member, ...]


@dataclass(frozen=True)
class Duplicates:
    """All groups of an output.

    Attributes:
        groups: the largest first.
        images: rows of the output.
        threshold: the least similarity within a group.
    """

    groups: tuple[Group, ...]
    images: int
    threshold: float

    def __len__(self) -> int:
        """Return how many images have another one that is kept in their place."""
        return sum(len(group.others) for group in self.groups)

    def __str__(self) -> str:
        """Return the numbers as one line."""
        exact = sum(member.exact is True for group in self.groups for member in group.others)
        found = f"{len(self):,} duplicate{'s'[: len(self) != 1]} ({exact:,} exact)"
        return f"{found} in {len(self.groups):,} group{'s'[: len(self.groups) != 1]}, of {self.images:,} images"

    def to_table(self) -> "pa.Table":
        """Return one row per image of a group: `group`, `id`, `kept`, `similarity`, `exact`, `width`, `height`."""
        pa = require_pyarrow()
        schema = pa.schema(
            {
                "group": pa.int32(),
                "id": pa.string(),
                "kept": pa.bool_(),
                "similarity": pa.float32(),
                "exact": pa.bool_(),
                "width": pa.int32(),
                "height": pa.int32(),
            }.items()
        )
        rows = [
            {"group": number, "kept": member is group.kept, **member._asdict()}
            for number, group in enumerate(self.groups)
            for member in (group.kept, *group.others)
        ]
        return pa.Table.from_pylist(rows, schema)

    def save(self, path: str | Path) -> None:
        """Write `to_table` as `.csv` or `.parquet`; the file appears complete or not at all.

        Raises:
            ArgumentError: another suffix.
            OSError: it cannot be written.
        """
        path = user_path(path)
        check_table(path)
        table = self.to_table()
        with written_whole(path) as temporary:
            if path.suffix.lower() == ".parquet":
                temporary.write_bytes(parquet_bytes(table))
                return
            with temporary.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(table.column_names)
                for row in table.to_pylist():
                    writer.writerow([_cell(value) for value in row.values()])


def check_table(path: Path) -> None:
    """Refuse a file whose suffix stands for no format, before any work is done.

    Raises:
        ArgumentError: the suffix is neither `.csv` nor `.parquet`, and the file is no pipe.
    """
    if path.suffix.lower() not in _SUFFIXES and not is_stream(path):
        raise ArgumentError(f"{path} must end in {' or '.join(_SUFFIXES)}.", found=path.suffix, expected=_SUFFIXES)


def _cell(value: object) -> object:
    """Return a value as CSV has it: numbers short, truth as true and false, what is not known empty."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6f}" if isinstance(value, float) else value
