"""Image-likes before they are decoded: paths, bytes and open files, which several threads may use at once."""

import inspect
import io
import os
import re
import threading
from pathlib import Path
from typing import Any

from maezoo.errors import ImageError
from maezoo.files import is_stream
from maezoo.images.pixels import READ_ERRORS
from maezoo.paths import user_path

__all__ = ["as_path", "file_lock", "image_lock", "kind_of", "read_bytes"]

_BYTES = bytes | bytearray | memoryview
_URL = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]+://|(https?|ftp|s3|gs):/|data:[\w/+.-]*[;,]", re.IGNORECASE
)  # Path("http://x") has one /
_HOW_TO_FETCH = {
    "http": "pass urllib.request.urlopen(url), which is an open file, or what another client downloads",
    "https": "pass urllib.request.urlopen(url), which is an open file, or what another client downloads",
    "data": "pass base64.b64decode(url.partition(',')[2])",
    "file": "pass the path alone",
}
_LONGEST_NAME, _LONGEST_PATH = 100, 4096  # characters that errors show of a long one, and that Linux allows

# Several threads may use one image or file at once. In place of a lock for each, which would have to be stored, there
# are a few hundred, shared by objects with the same hash.
_IMAGE_LOCKS = tuple(threading.Lock() for _ in range(509))
_FILE_LOCKS = tuple(threading.Lock() for _ in range(509))


def as_path(image: str | os.PathLike[str]) -> Path:
    """Return the path of a file; refuse URLs, and what could be read without an end."""
    text = os.fspath(image)
    if url := _URL.match(text):
        scheme = url[0].partition(":")[0].lower()
        how = _HOW_TO_FETCH.get(scheme, "download it, and pass the file or its bytes")
        shown = text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}…"
        reason = "URLs are not fetched"
        raise ImageError(f"{shown}: {reason}; {how}.", url=shown, reason=reason)
    if len(text) > _LONGEST_PATH:
        reason = f"{len(text):,} characters are no path"
        raise ImageError(
            f"{text[:_LONGEST_NAME]}…: {reason}; if this is base64, pass base64.b64decode(…).", reason=reason
        )
    path = user_path(image)
    if is_stream(path):  # opening one waits for whoever writes to it, without an end
        reason = "it is a pipe, a socket or a device"
        raise ImageError(f"{path} cannot be read: {reason}; pass a file, or its bytes.", path=path, reason=reason)
    return path


def read_bytes(source: Any, name: str) -> bytes:
    """Return bytes, or all bytes of an open file from its start on; one file may be asked for by several threads.

    Raises:
        ImageError: the file is closed, cannot be read, or is open as text.
    """
    if isinstance(source, _BYTES):
        return bytes(source)
    if isinstance(source, io.TextIOBase):
        raise ImageError(f"{name}: {kind_of(source)} gives text, not bytes; open the file with mode 'rb'.")
    if inspect.iscoroutinefunction(source.read):
        raise ImageError(
            f"{name}: {kind_of(source)} is read asynchronously; pass `await x.read()`, or of an upload `x.file`."
        )
    with file_lock(source):
        try:
            data = _read_all(source)
        except READ_ERRORS as error:
            reason = str(error) or kind_of(error)
            raise ImageError(f"{name} cannot be read from {kind_of(source)}: {reason}.", reason=reason) from error
    if not isinstance(data, _BYTES):
        raise ImageError(f"{name}: {kind_of(source)} gave {kind_of(data)}, not bytes; open the file with mode 'rb'.")
    return bytes(data)


def _read_all(source: Any) -> Any:
    """Read an open file from its start on, and put it back where it stood; one that cannot be wound is read once."""
    if not (hasattr(source, "seek") and getattr(source, "seekable", lambda: True)()):
        return source.read()
    before = source.tell()
    source.seek(0)
    try:
        return source.read()
    finally:
        source.seek(before)


def kind_of(thing: object) -> str:
    """Name the type of something, with its article.

    Example:
        >>> kind_of(3), kind_of("x")
        ('an int', 'a str')
    """
    name = type(thing).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def image_lock(image: object) -> threading.Lock:
    """Return the lock of an image; it is always taken before that of its file."""
    return _lock_of(image, _IMAGE_LOCKS)


def file_lock(file: object) -> threading.Lock:
    """Return the lock of an open file."""
    return _lock_of(file, _FILE_LOCKS)


def _lock_of(thing: object, locks: tuple[threading.Lock, ...]) -> threading.Lock:
    """Return the lock of an object."""
    return locks[id(thing) // 16 % len(locks)]
