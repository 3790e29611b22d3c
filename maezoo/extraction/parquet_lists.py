"""Lists of images in Parquet: a column of paths, or one with the images' bytes, as Hugging Face's data sets have it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from maezoo.errors import DataError
from maezoo.extraction.arrow import parquet_errors, require_pyarrow
from maezoo.extraction.columns import PATH_COLUMNS, Columns, missing_column
from maezoo.extraction.item import Item
from maezoo.extraction.opening import last_name, location_of, open_location
from maezoo.extraction.remote import check_scheme, is_uri
from maezoo.files import parse_json

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["parquet_items"]

_ROWS = 10_000
_FEW = 64  # rows read at a time where their images are read, too


@dataclass(frozen=True)
class _List:
    """One file, and what is taken from it.

    Attributes:
        file: the Parquet file.
        schema: of its columns.
        image: the column of images; `None` where there are paths.
        path: the column of paths; `None` where there are images.
        id: the column of ids, if there is one.
        label: the column of labels, if they were asked for.
        named: columns that the user has named.
    """

    file: str | Path
    schema: "pa.Schema"
    image: str | None
    path: str | None
    id: str | None
    label: str | None
    named: Columns


def parquet_items(
    files: Sequence[str | Path], *, labels: bool = False, columns: Columns | None = None
) -> Iterator[Item]:
    """Yield the images that Parquet files name or hold, in order; relative paths start at the file's folder.

    The columns are checked at once, before the first image is asked for.

    Args:
        files: Parquet files of one data set, or their URIs.
        labels: take the column `label`, or the one that `columns` names.
        columns: those that the user has named.

    Raises:
        DataError: a file that is not Parquet, a column that is missing or of a type that does not fit, or none or
            several that may hold the images.
    """
    lists = [_look_at(file, labels, columns or Columns()) for file in files]
    for other in lists[1:]:
        for name in other.named.keep:
            ours, theirs = lists[0].schema.field(name).type, other.schema.field(name).type
            if ours != theirs:
                raise DataError(
                    f"the column {name!r} is {ours} in {lists[0].file} and {theirs} in {other.file}; make them one.",
                    path=other.file,
                )
    return (item for each in lists for item in _items(each))


def _look_at(file: str | Path, labels: bool, columns: Columns) -> _List:
    """Find the columns of a file."""
    pa = require_pyarrow()
    try:
        with open_location(file) as raw:
            schema = pa.parquet.read_schema(raw)
        schema.names  # noqa: B018 - decoded here
    except parquet_errors() as error:
        if isinstance(error, OSError) and is_uri(str(file)):
            raise  # what a server says tells nothing of the file
        raise DataError.about(file, f"cannot be read as Parquet: {error}.") from error
    label = (columns.label or "label") if labels else None
    for name in (columns.path, columns.image, columns.id, label, *columns.keep):
        if name is not None and schema.names.count(name) != 1:
            if name in schema.names:
                raise DataError.about(file, f"has {schema.names.count(name)} columns {name!r}; keep one.")
            raise missing_column(file, name, schema.names)
    if columns.image is not None and not _is_image(schema.field(columns.image).type):
        kind = schema.field(columns.image).type
        raise DataError.about(file, f"holds no images in the column {columns.image!r}: it is {kind}, not binary.")
    if columns.path is not None and not _is_text(schema.field(columns.path).type):
        kind = schema.field(columns.path).type
        raise DataError.about(file, f"holds no paths in the column {columns.path!r}: it is {kind}, not string.")
    image, path = columns.image, columns.path
    if image is None and path is None:
        image, path = _choose(file, schema)
    if image in columns.keep:
        raise DataError.about(file, f"holds the images in the column {image!r}, which is not kept in the output.")
    id_column = columns.id or ("id" if schema.names.count("id") == 1 else None)
    return _List(file, schema, image, path, id_column, label, columns)


def _choose(file: str | Path, schema: "pa.Schema") -> tuple[str | None, str | None]:
    """Return the one column that holds images, or else the one that holds paths."""
    images = [field.name for field in schema if _is_image(field.type)]
    paths = [name for name in PATH_COLUMNS if schema.names.count(name) == 1 and _is_text(schema.field(name).type)]
    if len(images) == 1 and not paths:
        return images[0], None
    if paths and not images:
        return None, paths[0]
    if not images:
        raise DataError(
            f"{file} has no column of images (binary, or a struct with 'bytes') and none of paths "
            f"({', '.join(PATH_COLUMNS)}); it has {', '.join(map(repr, schema.names))}. Name one with --path-column or "
            "--image-column (in Python: path_column, image_column).",
            path=file,
            expected=PATH_COLUMNS,
            found=tuple(schema.names),
        )
    options = [*(f"--image-column {name}" for name in images), *(f"--path-column {name}" for name in paths[:1])]
    raise DataError(
        f"{file} has several columns that may give the images; say which: {' or '.join(options)} (in Python: "
        "image_column, path_column).",
        path=file,
        found=(*images, *paths),
        suggestions=options,
    )


def _items(listed: _List) -> Iterator[Item]:
    """Yield the images of one file."""
    pa = require_pyarrow()
    names = [name for name in (listed.path, listed.id, listed.label, *listed.named.keep) if name is not None]
    rows, first, classes = _ROWS, 0, _class_names(listed.schema, listed.label)
    try:
        with open_location(listed.file) as raw, pa.parquet.ParquetFile(raw) as opened:
            if listed.image is not None:
                within = _within(opened, listed.schema, listed.image)
                names += [within] if within else []
                rows = _ROWS if within != listed.image else _FEW
            for batch in opened.iter_batches(rows, columns=list(dict.fromkeys(names))):
                yield from _batch_items(listed, batch, first, classes)
                first += batch.num_rows
    except parquet_errors() as error:
        if isinstance(error, OSError) and is_uri(str(listed.file)):
            raise  # what a server says tells nothing of the file
        raise DataError.about(listed.file, f"cannot be read as Parquet: {error}.") from error


def _within(opened: Any, schema: "pa.Schema", image: str) -> str | None:
    """Return what must be read of a column of images to list them; `None` if every row has its bytes.

    Rows of a struct may have bytes or the path of a file. The file's statistics say how many have bytes; where they do
    not, or some rows have them and others not, all bytes are read.
    """
    pa = require_pyarrow()
    kind = schema.field(image).type
    if not pa.types.is_struct(kind) or kind.get_field_index("path") < 0:
        return None
    meta, leaf = opened.metadata, f"{image}.bytes"
    groups = [meta.row_group(number) for number in range(meta.num_row_groups)]
    leaves = [group.column(n) for group in groups for n in range(meta.num_columns)]
    found = [each.statistics for each in leaves if each.path_in_schema == leaf]
    if all(each is not None and each.has_null_count for each in found):
        nulls = sum(each.null_count for each in found)
        if nulls in (0, meta.num_rows):
            return f"{image}.path" if nulls else None
    return image


def _batch_items(listed: _List, batch: "pa.RecordBatch", first: int, classes: Sequence[str]) -> Iterator[Item]:
    """Yield the images of some rows.

    Args:
        listed: the file.
        batch: its rows.
        first: number of the first one.
        classes: names of the labels, where these are numbers.
    """
    ids = _texts(listed, batch, listed.id, first)
    labels = _texts(listed, batch, listed.label, first)
    paths = _texts(listed, batch, listed.path, first) if listed.image is None else _paths(listed, batch)
    location = location_of(listed.file)
    for row in range(batch.num_rows):
        kept = tuple(batch.column(name).slice(row, 1) for name in listed.named.keep)
        number, path, label = first + row, paths[row], labels[row]
        no_path = listed.image is None and not (path or "").strip()
        if no_path or (listed.named.id is not None and not ids[row]):
            empty = listed.path if no_path else listed.id
            raise DataError(f"{listed.file}, row {number}: the column {empty!r} is empty.", index=number)
        name = ids[row] or (str(path) if listed.image is None else f"{last_name(listed.file)}/{number}")
        if label is not None and classes:
            label = classes[int(label)] if 0 <= int(label) < len(classes) else None
        if path is None:
            yield Item(name, location, label, number, column=_leaf(listed), kept=kept)
            continue
        if is_uri(path):
            check_scheme(path, f"{listed.file}, row {number}")
        yield Item(name, location_of(_beside(listed.file, path)), label, kept=kept)


def _beside(file: str | Path, path: str) -> str | Path:
    """Return what a path in a file means: it starts at the file's folder."""
    if is_uri(path):
        return path
    if not is_uri(str(file)):
        return Path(file).parent / path
    head, _, _ = str(file).partition("?")
    return f"{head.rpartition('/')[0]}/{quote(path)}"


def _paths(listed: _List, batch: "pa.RecordBatch") -> list[str | None]:
    """Return the path of each image of a column that has no bytes in its row."""
    if listed.image not in batch.schema.names:
        return [None] * batch.num_rows
    rows = batch.column(listed.image).to_pylist()
    return [row["path"] if row and row.get("bytes") is None else None for row in rows]


def _leaf(listed: _List) -> str:
    """Return the name of the column of bytes."""
    assert listed.image is not None
    struct = require_pyarrow().types.is_struct(listed.schema.field(listed.image).type)
    return f"{listed.image}.bytes" if struct else listed.image


def _texts(listed: _List, batch: "pa.RecordBatch", name: str | None, first: int) -> list[str | None]:
    """Return a column as text: ids and labels may be numbers."""
    pa = require_pyarrow()
    if name is None:
        return [None] * batch.num_rows
    try:
        texts: list[str | None] = batch.column(name).cast(pa.string()).to_pylist()
    except (pa.ArrowException, UnicodeDecodeError) as error:
        kind = listed.schema.field(name).type
        raise DataError(f"{listed.file}: the column {name!r} ({kind}) is no text: {error}.", index=first) from error
    return texts


def _class_names(schema: "pa.Schema", label: str | None) -> list[str]:
    """Return the names that Hugging Face's metadata gives the numbers of a column of labels."""
    if label is None or not require_pyarrow().types.is_integer(schema.field(label).type):
        return []
    try:
        about = parse_json((schema.metadata or {})[b"huggingface"])
        return [str(name) for name in about["info"]["features"][label]["names"]]
    except (KeyError, ValueError, TypeError):
        return []


def _is_image(kind: Any) -> bool:
    """Whether a type holds images: bytes, or a struct of bytes and, perhaps, a path."""
    types = require_pyarrow().types
    if types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _is_image(kind.field(index).type)
    return any(test(kind) for test in (types.is_binary, types.is_large_binary, types.is_fixed_size_binary))


def _is_text(kind: Any) -> bool:
    types = require_pyarrow().types
    if types.is_dictionary(kind):
        kind = kind.value_type
    return bool(types.is_string(kind) or types.is_large_string(kind))
