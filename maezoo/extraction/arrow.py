"""pyarrow, or the error that says how to install it; tables as the bytes of Arrow and Parquet files."""

import io
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING

from maezoo.errors import MissingExtraError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "buffers_of",
    "bytes_to_table",
    "parquet_bytes",
    "parquet_errors",
    "parquet_table",
    "require_pyarrow",
    "table_to_bytes",
]


def require_pyarrow() -> ModuleType:
    """Return pyarrow with its parts `fs`, `ipc` and `parquet` imported.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.fs
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError.for_extra("extract", "extraction to Parquet") from error
    module: ModuleType = pa
    return module


def parquet_errors() -> tuple[type[Exception], ...]:
    """Return what pyarrow raises on damaged Parquet files: a column may have a name that is no text, too."""
    return (require_pyarrow().ArrowException, OSError, UnicodeDecodeError)


def table_to_bytes(table: "pa.Table") -> bytes:
    """Return a table, its metadata included, as an Arrow file."""
    pa = require_pyarrow()
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def bytes_to_table(data: bytes) -> "pa.Table":
    """Read what `table_to_bytes` gave, without a copy."""
    pa = require_pyarrow()
    with pa.ipc.open_file(data) as reader:
        return reader.read_all()


def buffers_of(table: "pa.Table") -> Iterator[tuple[str, bytes]]:
    """Yield what Arrow's format says of a table's values, with the names of the columns: the same in every version.

    Python's objects would not do: what a time becomes depends on whether pandas is installed.
    """
    pa = require_pyarrow()
    plain = bytes_to_table(table_to_bytes(table.combine_chunks()))  # writing drops what slices have left out
    for name, column in zip(plain.column_names, plain.columns, strict=True):
        for chunk in column.chunks:
            array = chunk.dictionary_decode() if pa.types.is_dictionary(chunk.type) else chunk
            yield name, str(array.type).encode()
            for buffer in array.buffers():
                yield name, b"" if buffer is None else buffer.to_pybytes()


def parquet_table(data: bytes) -> "pa.Table":
    """Read what `parquet_bytes` gave."""
    table: pa.Table = require_pyarrow().parquet.read_table(io.BytesIO(data))
    return table


def parquet_bytes(table: "pa.Table") -> bytes:
    """Return a table as a Parquet file. Embeddings do not compress; the other columns do.

    A table without rows becomes a file without row groups: some readers of folders fail on an empty one.
    """
    pa = require_pyarrow()
    sink = io.BytesIO()
    plain = {name: "NONE" if name == "embedding" else "ZSTD" for name in table.column_names}
    dictionary = [name for name in ("label",) if name in table.column_names]
    with pa.parquet.ParquetWriter(sink, table.schema, compression=plain, use_dictionary=dictionary) as writer:
        if table.num_rows:
            writer.write_table(table)
    return sink.getvalue()
