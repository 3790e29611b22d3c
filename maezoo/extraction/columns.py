"""Columns of a source that the user names: where images, ids and labels are, and what is kept in the output."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maezoo.errors import ArgumentError, DataError
from maezoo.extraction.arrow import require_pyarrow

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["OWN_COLUMNS", "PATH_COLUMNS", "Columns", "Json", "clean", "kept_array", "missing_column", "typed"]

OWN_COLUMNS = ("id", "embedding", "label", "width", "height")
"""Columns of the output that maezoo fills."""
PATH_COLUMNS = ("path", "image", "file", "filename", "file_name", "filepath", "image_path")
"""Names that the column of paths is looked for by, when none is given."""
_ROWS = 10_000


class Json(str):
    """A value of a `.json` member, as JSON; its type is that which fits all values of its column."""

    __slots__ = ()


@dataclass(frozen=True)
class Columns:
    """Columns that a user has named; `None` leaves the choice to the source.

    Attributes:
        path: where the images' paths or URIs are.
        image: where the images' bytes are, in Parquet.
        id: the column whose values name the images in the output.
        label: the column of the labels.
        keep: columns that are copied to the output, with their types.

    Raises:
        ArgumentError: two of them cannot be together, or a column to keep has the name of one that maezoo fills.

    Example:
        >>> Columns(id="sku", keep=("date",)).named()
        {'id': 'sku', 'keep': 'date'}
    """

    path: str | None = None
    image: str | None = None
    id: str | None = None
    label: str | None = None
    keep: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse names that cannot be together."""
        if self.path is not None and self.image is not None:
            raise ArgumentError("images are either at paths or in a column; pass path_column or image_column, not both")
        for name in self.keep:
            if not name.strip():
                raise ArgumentError("keep names columns; one of the names is empty.", found=self.keep)
            if self.keep.count(name) > 1:
                raise ArgumentError(f"keep names {name!r} twice.", found=self.keep)
            if name in OWN_COLUMNS and (name != "label" or self.label is not None):
                own = "id_column" if name == "id" else "labels"
                hint = f" Use {own} for it." if name in ("id", "label") else " Rename it in the list."
                raise ArgumentError(
                    f"keep cannot hold {name!r}: the output has a column of that name.{hint}", found=self.keep
                )

    def named(self) -> dict[str, str]:
        """Return the column or columns named for each purpose."""
        each = {name: getattr(self, name) for name in ("path", "image", "id", "label")}
        each["keep"] = ", ".join(self.keep)
        return {name: value for name, value in each.items() if value}

    def refuse(self, source: str | Path, why: str, *purposes: str) -> None:
        """Refuse columns that a source of this kind cannot have.

        Args:
            source: the source.
            why: what it is, and what has columns.
            purposes: those it can have.

        Raises:
            DataError: a column is named for another purpose.
        """
        wrong = {purpose: name for purpose, name in self.named().items() if purpose not in purposes}
        if wrong:
            names = ", ".join(f"{name!r} ({purpose})" for purpose, name in wrong.items())
            raise DataError(f"{source} has no column {names}: {why}", path=source, found=tuple(wrong.values()))


def missing_column(source: str | Path, name: str, known: Iterable[str], what: str = "column") -> DataError:
    """Return the error for a column that a source does not have; it suggests the closest names.

    Example:
        >>> str(missing_column("list.csv", "skuu", ["path", "sku"]))
        "list.csv has no column 'skuu'; it has 'path', 'sku'. Did you mean 'sku'?"
    """
    known = list(known)
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    shown = ", ".join(map(repr, known[:30])) + (f" and {len(known) - 30} more" if len(known) > 30 else "")
    return DataError(
        f"{source} has no {what} {name!r}; it has {shown or 'none'}.{hint}",
        path=source,
        expected=tuple(known),
        found=name,
        suggestions=close,
    )


def kept_array(values: Sequence[Any]) -> "pa.Array":
    """Return values of one column as an array: Arrow's arrays of one value with their type, all else as text."""
    pa = require_pyarrow()
    if values and isinstance(values[0], pa.Array):  # not scalars: pyarrow makes no array of some that are null
        return pa.concat_arrays(values)
    return pa.array(values, pa.string())


def typed(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """Return a column of JSON texts with the type that fits all: bool, int64, double or string; else JSON as text.

    Example:
        >>> import pyarrow as pa
        >>> typed(pa.chunked_array([["1", "2.5", None]])).to_pylist()
        [1.0, 2.5, None]
    """
    pa = require_pyarrow()
    parts = [part.slice(start, _ROWS) for part in column.chunks for start in range(0, len(part), _ROWS)]
    kinds = {_kind(value) for part in parts for value in _values(part)} - {"null"}
    if kinds == {"int", "float"}:
        kinds = {"float"}
    kind = kinds.pop() if len(kinds) == 1 else "json"
    types = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "text": pa.string()}
    if kind not in types:
        return column
    return pa.chunked_array([pa.array(_values(part), types[kind]) for part in parts], types[kind])


def clean(text: str) -> str:
    r"""Return a text in which halves of surrogate pairs, which JSON may hold and UTF-8 may not, are escaped.

    Example:
        >>> clean("a\ud800")
        'a\\ud800'
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _values(part: "pa.Array") -> list[Any]:
    values = (None if text is None else json.loads(text) for text in part.to_pylist())
    return [clean(value) if isinstance(value, str) else value for value in values]


def _kind(value: object) -> str:
    """Return the kind of a value of JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -(2**63) <= value < 2**63 else "json"
    if isinstance(value, float):
        return "float"
    return "text" if isinstance(value, str) else "json"
