"""The folder that an extraction writes to, here or on cloud storage: named files, each whole or not there."""

import functools
import os
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from maezoo.errors import DataError, DiskFullError
from maezoo.extraction.arrow import require_pyarrow
from maezoo.extraction.web import is_web
from maezoo.files import written_whole
from maezoo.paths import user_path

__all__ = ["Store", "check_scheme", "child_uri", "is_uri", "open_filesystem", "open_store", "path_in"]

_PYARROW = frozenset({"file", "s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss"})


class Store(Protocol):
    """Named files in one folder."""

    def names(self) -> list[str]:
        """Return the names of all files, sorted."""

    def read(self, name: str) -> bytes:
        """Return a file's content."""

    def open(self, name: str) -> IO[bytes]:
        """Open a file to read parts of it."""

    def write(self, name: str, data: bytes) -> None:
        """Make or replace a file; it appears whole or not at all."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""


class LocalStore:
    """A folder of this machine. It is made when it is not there."""

    def __init__(self, folder: Path) -> None:
        if folder.exists() and not folder.is_dir():
            raise DataError(f"{folder} is a file; the output is a folder of Parquet files. Name another.")
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def names(self) -> list[str]:
        """Return the names of all files, sorted."""
        return sorted(entry.name for entry in self.folder.iterdir() if entry.is_file())

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        return (self.folder / name).read_bytes()

    def open(self, name: str) -> IO[bytes]:
        """Open a file to read parts of it."""
        return (self.folder / name).open("rb")

    def write(self, name: str, data: bytes) -> None:
        """Make or replace a file; it appears whole or not at all, also when the power fails.

        Raises:
            DiskFullError: no room for it.
            OSError: another failure to write; the message names the file.
        """
        path = self.folder / name
        stays = "What is finished stays; then run the same command again."
        try:
            with written_whole(path) as temporary, temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except DiskFullError as error:
            raise DiskFullError(f"{error} {stays}", path=path, reason=error.reason) from error
        except OSError as error:
            raise OSError(error.errno, f"{error.strerror}. {stays}", str(path)) from error

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        (self.folder / name).unlink(missing_ok=True)


class RemoteStore:
    """A folder of any file system that pyarrow or fsspec knows; object stores show an object when it is complete."""

    def __init__(self, uri: str) -> None:
        self._system, self._root = open_filesystem(uri)
        self._system.create_dir(self._root, recursive=True)

    def names(self) -> list[str]:
        """Return the names of all files, sorted."""
        pa = require_pyarrow()
        found = self._system.get_file_info(pa.fs.FileSelector(self._root, allow_not_found=True))
        return sorted(info.base_name for info in found if info.is_file)

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        with self._system.open_input_stream(f"{self._root}/{name}") as file:
            data: bytes = file.read()
            return data

    def open(self, name: str) -> IO[bytes]:
        """Open a file to read parts of it."""
        file: IO[bytes] = self._system.open_input_file(f"{self._root}/{name}")
        return file

    def write(self, name: str, data: bytes) -> None:
        """Make or replace a file: beside it first, then renamed."""
        temporary = f"{self._root}/.{name}.unfinished"
        with self._system.open_output_stream(temporary) as file:
            file.write(data)
        self._system.move(temporary, f"{self._root}/{name}")

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        if name in self.names():
            self._system.delete_file(f"{self._root}/{name}")


def is_uri(location: str) -> bool:
    """Whether a location names a scheme, such as `s3://bucket/folder`.

    Example:
        >>> is_uri("s3://bucket/photos"), is_uri("C:/photos")
        (True, False)
    """
    return "://" in location


def check_scheme(uri: str, where: str) -> None:
    """Refuse a URI of a scheme that nothing here can read; nothing is opened.

    Args:
        uri: the URI.
        where: what names it, for the error.

    Raises:
        DataError: the message says what to install, where that is known.
    """
    scheme = uri.partition("://")[0].lower()
    if is_web(uri) or scheme in _PYARROW:
        return
    try:
        from fsspec import get_filesystem_class

        get_filesystem_class(scheme)
    except (ImportError, ValueError) as error:
        raise DataError(
            f"{where}: {uri} cannot be read: {error}. Lists hold paths, http:// and https:// URLs, and URIs that "
            "pyarrow or fsspec know."
        ) from error


def child_uri(uri: str, name: str) -> str:
    """Return the URI of a file below a folder.

    Example:
        >>> child_uri("s3://bucket/cats?region=eu-west-1", "tom 1.jpg")
        's3://bucket/cats/tom%201.jpg?region=eu-west-1'
    """
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{quote(name)}"))


def path_in(location: str | Path, name: str) -> str | Path:
    """Return the place of a folder in another, here or on cloud storage.

    Example:
        >>> path_in("s3://bucket/features", "notes")
        's3://bucket/features/notes'
    """
    text = str(location)
    return child_uri(text, name) if is_uri(text) else user_path(text) / name


def open_filesystem(uri: str) -> tuple[Any, str]:
    """Return the pyarrow file system of a URI and the path in it; fsspec's schemes work where fsspec is installed.

    Raises:
        DataError: nothing here knows the scheme.
    """
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return _connect(uri)
    system, top = _connect(urlunsplit(parts._replace(path="/")))  # once for each bucket: it may ask the network
    return system, f"{top}/{unquote(parts.path).strip('/')}".rstrip("/")


@functools.lru_cache(maxsize=32)
def _connect(uri: str) -> tuple[Any, str]:
    """Open a URI with pyarrow, or else with fsspec."""
    pa = require_pyarrow()
    try:
        system, path = pa.fs.FileSystem.from_uri(uri)
        return system, path.rstrip("/")
    except (ValueError, OSError, NotImplementedError) as error:
        try:
            import fsspec

            system, path = fsspec.core.url_to_fs(uri)
        except (ImportError, ValueError) as second:
            raise DataError(f"{uri} cannot be opened: {error}. {second}") from second
    return pa.fs.PyFileSystem(pa.fs.FSSpecHandler(system)), path.rstrip("/")


def open_store(location: str | Path) -> Store:
    """Open the output folder, making it when it is not there.

    Raises:
        DataError: it is a file, or its scheme is not known.
    """
    text = str(location)
    return RemoteStore(text) if is_uri(text) else LocalStore(user_path(text))
