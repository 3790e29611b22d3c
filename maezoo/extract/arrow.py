"""pyarrow, or the error that says how to install it."""

from types import ModuleType

from maezoo.errors import MissingExtraError

__all__ = ["require_pyarrow"]


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
