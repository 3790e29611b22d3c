"""The folder that an extraction writes to, here or on cloud storage: named files, each complete or absent; its lock."""

import errno
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol

from filelock import FileLock, Timeout

from maezoo.errors import DataError, DiskFullError, OutputBusyError
from maezoo.extraction.arrow import require_pyarrow
from maezoo.extraction.remote import is_uri, open_filesystem
from maezoo.files import written_whole
from maezoo.paths import user_path

__all__ = ["LocalStore", "Store", "exclusive", "open_store"]

_NO_LOCKS = {None, *(getattr(errno, name, None) for name in ("ENOSYS", "ENOLCK", "ENOTSUP", "EOPNOTSUPP", "EINVAL"))}
_log = logging.getLogger(__name__)


class Store(Protocol):
    """Named files in one folder."""

    def names(self) -> list[str]:
        """Return the names of all files, sorted."""

    def read(self, name: str) -> bytes:
        """Return a file's content."""

    def open(self, name: str) -> IO[bytes]:
        """Open a file to read parts of it."""

    def write(self, name: str, data: bytes) -> None:
        """Make or replace a file; it appears complete or not at all."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""


class LocalStore:
    """A folder of this machine, made if missing."""

    def __init__(self, folder: Path) -> None:
        if folder.exists() and not folder.is_dir():
            raise DataError.about(folder, "is a file; the output is a folder of Parquet files. Name another.")
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
        """Make or replace a file; it appears complete or not at all, even if the power fails.

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
    """A folder of any file system that pyarrow or fsspec knows; object stores show an object once it is complete."""

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
        """Make or replace a file: under a temporary name of this run's own first, then renamed."""
        temporary = f"{self._root}/.{name}.{secrets.token_hex(4)}.unfinished"
        try:
            with self._system.open_output_stream(temporary) as file:
                file.write(data)
            self._system.move(temporary, f"{self._root}/{name}")
        except BaseException:
            with suppress(Exception):  # what went wrong first is what counts
                self._system.delete_file(temporary)
            raise

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        if name in self.names():
            self._system.delete_file(f"{self._root}/{name}")


def open_store(location: str | Path) -> Store:
    """Open the output folder, making it if missing.

    Raises:
        DataError: it is a file, or its scheme is not known.
    """
    text = str(location)
    if is_uri(text) and not text.lower().startswith("file:"):
        return RemoteStore(text)
    return LocalStore(Path(open_filesystem(text)[1]) if is_uri(text) else user_path(text))


@contextmanager
def exclusive(path: Path, output: str | Path) -> Iterator[None]:
    """Hold a lock file while the block runs. The operating system releases it when this process ends, however it ends.

    Worker processes do not inherit it: they are spawned, which closes it in them.

    Args:
        path: the lock file.
        output: what it guards, for messages.

    Raises:
        OutputBusyError: another process holds it; `found` is its number.

    Example:
        >>> import tempfile
        >>> with exclusive(Path(tempfile.mkdtemp()) / "lock", "features"):
        ...     pass
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, note = FileLock(path, timeout=0), path.with_suffix(".pid")
    try:
        lock.acquire()
    except Timeout as error:
        process = ""
        with suppress(OSError):
            process = note.read_text(encoding="ascii")
        raise OutputBusyError(
            f"another run is writing to {output}{f' (process {process})' if process else ''}. Wait for it, stop it, or "
            "name another output.",
            path=output,
            found=process,
        ) from error
    except (OSError, NotImplementedError) as error:
        if getattr(error, "errno", None) not in _NO_LOCKS:
            raise
        _log.warning("%s: this file system has no locks (%s); make sure that only one run writes here.", path, error)
    try:
        with suppress(OSError):  # a full disk is reported by the first file that matters
            note.write_text(str(os.getpid()), encoding="ascii")
        yield
    finally:
        lock.release()
