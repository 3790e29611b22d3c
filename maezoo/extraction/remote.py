"""What is not a file of this machine: folders and files by URI, through pyarrow or fsspec; images by URL."""

import errno
import functools
import http.client
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from maezoo.errors import DataError
from maezoo.extraction.arrow import require_pyarrow
from maezoo.files import written_whole
from maezoo.paths import user_path
from maezoo.version import __version__

__all__ = [
    "WebFacts",
    "check_scheme",
    "child_uri",
    "download",
    "download_to",
    "is_uri",
    "is_web",
    "open_filesystem",
    "path_in",
    "web_facts",
]

_PYARROW = frozenset({"file", "s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss"})
_TIMEOUT = 60.0  # seconds without a byte
_MOST = 2**30  # bytes of one image
_REFUSED = {401: PermissionError, 403: PermissionError, 404: FileNotFoundError, 410: FileNotFoundError}
_CODES = {PermissionError: errno.EACCES, FileNotFoundError: errno.ENOENT}
_PASSING = frozenset({408, 425, 429})  # and all from 500
_PARTIAL = 206
_CHUNK = 2**20  # bytes that are copied at a time


def is_uri(location: str) -> bool:
    """Whether a location names a scheme, such as `s3://bucket/folder`.

    Example:
        >>> is_uri("s3://bucket/photos"), is_uri("C:/photos")
        (True, False)
    """
    return "://" in location


def is_web(location: str) -> bool:
    """Whether a location is one of HTTP.

    Example:
        >>> is_web("HTTPS://host/a.jpg?sig=1"), is_web("s3://bucket/a.jpg")
        (True, False)
    """
    return location.lower().startswith(("http://", "https://"))


def check_scheme(uri: str, where: str) -> None:
    """Refuse a URI whose scheme nothing here can read; nothing is opened.

    Args:
        uri: the URI.
        where: where it is named, for the error.

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
            "pyarrow or fsspec know.",
            url=uri,
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
    """Return the path or URI of a folder in another.

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
    system, top = _connect(urlunsplit(parts._replace(path="/")))  # once for each bucket: it may need the network
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
            raise DataError(f"{uri} cannot be opened: {error}. {second}", url=uri, reason=str(error)) from second
    return pa.fs.PyFileSystem(pa.fs.FSSpecHandler(system)), path.rstrip("/")


def download(url: str, part: tuple[int, int] | None = None) -> bytes:
    """Return the bytes at a URL. Proxies are those of the environment.

    Args:
        url: the URL.
        part: the first byte and one past the last, of a file of which a part is wanted.

    Raises:
        ConnectionError: the server is busy or not reached, or the answer broke off; another try may succeed.
        FileNotFoundError: there is nothing at the URL.
        PermissionError: access is refused; a signed URL may have expired.
        DataError: not a URL, more bytes than any image has, or another part than the one asked for.
    """
    with _answer(url, part) as answer:
        try:
            data: bytes = answer.read(_MOST + 1)
            missing = answer.length
        except (OSError, http.client.HTTPException) as error:
            raise _broken(url, error) from error
        status = answer.status
    if len(data) > _MOST:
        raise DataError(f"{url} gives more than {_MOST:,} bytes; no image has so many.", url=url, expected=_MOST)
    if missing:
        raise ConnectionError(f"{url}: the answer broke off {missing:,} bytes before its end")
    if part is not None and (status != _PARTIAL or len(data) != part[1] - part[0]):
        raise DataError(
            f"{url}: the server sent {len(data):,} bytes where the {part[1] - part[0]:,} from byte {part[0]:,} on were "
            "asked for; has the file changed? Copy it to this machine.",
            url=url,
        )
    return data


class WebFacts(NamedTuple):
    """Size in bytes of a file on a web server, and a stamp that changes when it does."""

    size: int
    stamp: str


def web_facts(url: str) -> WebFacts | None:
    """Return the facts of a file on a web server; `None` if the server does not send parts of it.

    Raises:
        OSError, DataError: as `download`.
    """
    with _answer(url, (0, 1)) as answer:
        total = str(answer.headers.get("Content-Range", "")).rpartition("/")[2]
        stamp = " ".join(filter(None, (answer.headers.get(name) for name in ("ETag", "Last-Modified"))))
        return WebFacts(int(total), stamp) if answer.status == _PARTIAL and total.isdecimal() else None


def download_to(url: str, path: Path) -> None:
    """Copy the file at a URL; the copy appears complete or not at all.

    Raises:
        OSError, DataError: as `download`.
    """
    with _answer(url, None) as answer, written_whole(path) as temporary, temporary.open("wb") as file:
        try:
            shutil.copyfileobj(answer, file, _CHUNK)
        except http.client.HTTPException as error:
            raise _broken(url, error) from error
        if answer.length:
            raise ConnectionError(f"{url}: the answer broke off {answer.length:,} bytes before its end")


def _answer(url: str, part: tuple[int, int] | None) -> http.client.HTTPResponse:
    """Ask for a URL, or for a part of what is there."""
    asked = quote(url, safe="%/:=&?~#+!$,;'@()*[]", errors="surrogateescape")  # spaces and letters beyond ASCII
    try:
        host = urlsplit(asked).hostname
    except ValueError as error:
        raise DataError(f"{url} is no URL: {error}.", url=url, reason=str(error)) from error
    if not host:
        raise DataError(f"{url} is no URL: it names no host.", url=url)
    headers = {"User-Agent": f"maezoo/{__version__}"} | ({"Range": f"bytes={part[0]}-{part[1] - 1}"} if part else {})
    request = urllib.request.Request(asked, headers=headers)  # noqa: S310 - see is_web
    try:
        answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT)  # noqa: S310
    except urllib.error.HTTPError as error:
        raise _refusal(url, error) from error
    except http.client.InvalidURL as error:
        raise DataError(f"{url} is no URL: {error}.", url=url, reason=str(error)) from error
    except (OSError, http.client.HTTPException) as error:
        raise _broken(url, error) from error
    return answer


def _broken(url: str, error: Exception) -> ConnectionError:
    """Word the error for a server that is not reached, or that ends in the middle."""
    return ConnectionError(f"{url} cannot be fetched: {getattr(error, 'reason', error) or error!r}")


def _refusal(url: str, error: urllib.error.HTTPError) -> OSError | DataError:
    """Word the error for an answer other than 200."""
    error.close()
    said = f"the server says {error.code} {error.reason}"
    if error.code >= 500 or error.code in _PASSING:
        return ConnectionError(f"{url}: {said}")
    kind = _REFUSED.get(error.code)
    return DataError(f"{url}: {said}.", url=url, found=error.code) if kind is None else kind(_CODES[kind], said, url)
