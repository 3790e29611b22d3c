"""Lists of images: text files with one path a line, and tables with a header."""

import codecs
import csv
import os
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from maezoo.errors import DataError
from maezoo.extraction.columns import PATH_COLUMNS, Columns, missing_column
from maezoo.extraction.item import Item
from maezoo.extraction.remote import check_scheme, is_uri

__all__ = ["LIST_SUFFIXES", "listed_items", "printable"]

LIST_SUFFIXES = (".txt", ".lst", ".csv", ".tsv")
_SUSPECTS = 1000  # ids compared again: one real duplicate is enough


class _Row(NamedTuple):
    """One image of a list, and its line."""

    line: int
    id: str
    name: str
    label: str | None = None
    kept: tuple[str, ...] = ()


class _Reading(NamedTuple):
    """What is taken from a list."""

    labels: bool
    columns: Columns


def listed_items(path: Path, *, labels: bool = False, columns: Columns | None = None) -> Iterator[Item]:
    """Yield the images that a list names; relative paths start at the list's folder.

    The header is read at once. The rest is checked to its end before the first image comes, so that an error in it
    costs no work.

    Args:
        path: a text file with one path or URI a line, or a `.csv` or `.tsv` with a header.
        labels: take the column `label`, or the one that `columns` names.
        columns: those that the user has named.

    Raises:
        DataError: something in it cannot be used, or a column is missing; `index` is the line, counted from 0.
    """
    reading = _Reading(labels, columns or Columns())
    next(_rows(path, reading), None)
    return _items(path, reading)


def _items(path: Path, reading: _Reading) -> Iterator[Item]:
    _check_ids(path, reading)
    for row in _rows(path, reading):
        location = row.name if is_uri(row.name) else (path.parent / row.name).absolute()
        label = None if row.label is None else printable(row.label)
        yield Item(printable(row.id), os.fsencode(location), label, kept=tuple(map(printable, row.kept)))


def printable(name: str) -> str:
    r"""Return a name, which need not be valid text, as text.

    Example:
        >>> printable("caf\udce9.jpg")
        'caf\\xe9.jpg'
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _check_ids(path: Path, reading: _Reading) -> None:
    """Refuse a list with an id twice, or with URIs that nothing here can read; eight bytes of memory for each row."""
    hashes, schemes = array("q"), set()
    for row in _rows(path, reading):
        hashes.append(hash(row.id))
        if is_uri(row.name) and (scheme := row.name.partition("://")[0].lower()) not in schemes:
            check_scheme(row.name, f"{path}, line {row.line}")
            schemes.add(scheme)
    ordered = np.sort(np.frombuffer(hashes, np.int64)) if hashes else np.empty(0, np.int64)
    suspects = set(ordered[1:][ordered[1:] == ordered[:-1]][:_SUSPECTS].tolist())
    seen: dict[str, int] = {}
    for row in _rows(path, reading) if suspects else ():
        if hash(row.id) in suspects and seen.setdefault(row.id, row.line) != row.line:
            raise DataError(
                f"{path} names {row.id!r} in line {seen[row.id]} and again in line {row.line}; each id must be "
                "unique. Remove one, or give a .csv with a column 'id'.",
                path=path,
                index=row.line - 1,
            )


def _rows(path: Path, reading: _Reading) -> Iterator[_Row]:
    """Yield the rows of a list."""
    table = path.suffix.lower() in (".csv", ".tsv")
    if reading.labels and not table:
        raise DataError.about(path, "has no labels: name the images in a .csv with the columns 'path' and 'label'.")
    if table:
        reading.columns.refuse(path, "a .csv holds paths, not images.", "path", "id", "label", "keep")
    else:
        reading.columns.refuse(path, "it is a list of paths alone; name the images in a .csv or .parquet.")
    try:
        _check_encoding(path)
        # newline="" leaves line breaks inside quotes as they are. Line breaks are \n, \r\n and \r, never Unicode's.
        newline = "" if table else None
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline=newline) as file:
            if table:
                yield from _table_rows(path, file, reading)
            else:
                yield from _line_rows(path, file)
    except OSError as error:
        raise DataError.about(path, f"cannot be read: {error.strerror or error}.") from error


def _check_encoding(path: Path) -> None:
    """Refuse UTF-16 and UTF-32, which Windows calls Unicode text."""
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
        raise _error(path, 1, "the list is UTF-16 or UTF-32 text; save it as UTF-8.")


def _line_rows(path: Path, file: TextIO) -> Iterator[_Row]:
    """Yield the rows of a text file."""
    for number, line in enumerate(file, start=1):
        name = line.removesuffix("\n")  # spaces at the ends belong to the name
        if name.strip():
            _check_text(path, number, name)
            yield _Row(number, name, name)


def _table_rows(path: Path, file: TextIO, reading: _Reading) -> Iterator[_Row]:
    """Yield the rows of a CSV or TSV."""
    records = _records(path, file)
    _, columns = next(records, (1, []))
    named = reading.columns
    where = named.path or next((name for name in PATH_COLUMNS if name in columns), None)
    if where is None:
        raise DataError(
            f"{path} needs a header with a column 'path'; it has {', '.join(map(repr, columns))}. To name another: "
            "--path-column (in Python: path_column).",
            path=path,
            expected="path",
        )
    label = (named.label or "label") if reading.labels else None
    for name in filter(None, (where, named.id, label, *named.keep)):
        if name not in columns:
            raise missing_column(path, name, columns)
    for name in filter(None, (where, named.id or "id", label or "label", *named.keep)):
        if columns.count(name) > 1:
            raise _error(path, 1, f"the header has {columns.count(name)} columns {name!r}; keep one.")
    for line, record in records:
        if len(record) != len(columns):
            cells = f"{len(record)} cells under a header of {len(columns)}"
            raise _error(path, line, f"{cells}. A name with a comma or tab in it needs quotes.")
        row = dict(zip(columns, record, strict=True))
        for name in filter(None, (where, named.id)):
            if not row[name].strip():
                raise _error(path, line, f"the column {name!r} is empty.")
        kept = tuple(row[name] for name in named.keep)
        yield _Row(line, row.get(named.id or "id") or row[where], row[where], row[label] if label else None, kept)


def _records(path: Path, file: TextIO) -> Iterator[tuple[int, Sequence[str]]]:
    """Yield the records of a table that are not empty, each with the number of its first line."""
    reader = csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
    line = 1
    try:
        for record in reader:
            if record:
                for cell in record:
                    _check_text(path, line, cell)
                yield line, record
            line = reader.line_num + 1
    except csv.Error as error:
        limit = csv.field_size_limit()
        hint = f"a cell has at most {limit:,} characters; is a quote missing?" if "limit" in str(error) else "fix it."
        raise _error(path, line, f"{error}: {hint}") from error


def _check_text(path: Path, line: int, text: str) -> None:
    """Refuse NUL bytes."""
    if "\0" in text:
        raise _error(path, line, "a NUL byte; a list is plain text in UTF-8.")


def _error(path: Path, line: int, reason: str) -> DataError:
    """Return the error for a line of a list."""
    return DataError(f"{path}, line {line}: {reason}", path=path, index=line - 1, reason=reason)
