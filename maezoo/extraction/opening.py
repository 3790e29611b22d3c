"""Files opened for reading wherever they are: at a path, at a URI, or at a URL whose server sends parts of a file."""

import io
import os
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from maezoo.errors import DataError
from maezoo.extraction.remote import download, is_uri, is_web, open_filesystem, web_facts

__all__ = ["last_name", "location_of", "open_location", "stamp_of"]

_WEB_BUFFER = 2**20  # bytes asked for at once: headers of a tar shard are read one after the other


def open_location(location: str | Path) -> io.RawIOBase:
    """Open a file for reading from any place in it, unbuffered; what is not local is read in parts.

    Args:
        location: a path, a URI or a URL.

    Raises:
        DataError: a URI that nothing here knows, or a web server that sends whole files only.
        OSError: the file is not there, or cannot be read.

    Example:
        >>> with open_location("README.md") as file:
        ...     file.read(1)
        b'#'
    """
    text = str(location)
    if is_web(text):
        return _WebFile(text)
    if is_uri(text):
        system, path = open_filesystem(text)
        return _StoredFile(system.open_input_file(path))
    return io.FileIO(text)


def last_name(location: str | Path) -> str:
    """Return the last part of a path or URI.

    Example:
        >>> last_name("https://host/a%20b.tar?key=1"), last_name(Path("shards/1.tar"))
        ('a b.tar', '1.tar')
    """
    text = str(location)
    return PurePosixPath(unquote(urlsplit(text).path)).name if is_uri(text) else Path(text).name


def location_of(file: str | Path) -> bytes:
    """Return the location of a file as an item has it: the absolute path, or the URI."""
    text = str(file)
    return os.fsencode(text if is_uri(text) else Path(text).absolute())


def stamp_of(location: str | Path) -> str:
    """Return what changes when a file does: its size, and its time or what a web server says of it.

    Raises:
        OSError: the file is not there, or cannot be looked up.
    """
    text = str(location)
    if is_web(text):
        facts = web_facts(text)
        return "" if facts is None else f"{facts.size} {facts.stamp}"
    if is_uri(text):
        system, path = open_filesystem(text)
        (found,) = system.get_file_info([path])
        return f"{found.size} {found.mtime_ns}"
    local = Path(text).stat()
    return f"{local.st_size} {local.st_mtime_ns}"


class _StoredFile(io.RawIOBase):
    """A file that pyarrow has opened, as Python's own files are."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def readinto(self, buffer: Any, /) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class _WebFile(io.RawIOBase):
    """A file on a web server, fetched part by part."""

    def __init__(self, url: str) -> None:
        facts = web_facts(url)
        if facts is None:
            raise DataError(
                f"{url}: the server sends whole files only, and parts of this one are needed; copy it to this machine.",
                url=url,
                reason="the server ignores Range",
            )
        self._url, self._size, self._at = url, facts.size, 0
        self._held, self._first = b"", 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        here = self._at - self._first
        if not 0 <= here <= len(self._held) - wanted:
            stop = min(self._size, self._at + max(wanted, _WEB_BUFFER))
            self._held, self._first, here = download(self._url, (self._at, stop)), self._at, 0
        buffer[:wanted] = self._held[here : here + wanted]
        self._at += wanted
        return wanted
