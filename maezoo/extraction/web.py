"""Images from the web: one GET request for each, with the URL's query as it stands."""

import errno
import http.client
import urllib.error
import urllib.request
from urllib.parse import quote, urlsplit

from maezoo.errors import DataError
from maezoo.version import __version__

__all__ = ["download", "is_web"]

_TIMEOUT = 60.0  # seconds without a byte
_MOST = 2**30  # bytes of one image
_REFUSED = {401: PermissionError, 403: PermissionError, 404: FileNotFoundError, 410: FileNotFoundError}
_CODES = {PermissionError: errno.EACCES, FileNotFoundError: errno.ENOENT}
_PASSING = frozenset({408, 425, 429})  # and all from 500


def is_web(location: str) -> bool:
    """Whether a location is one of HTTP.

    Example:
        >>> is_web("HTTPS://host/a.jpg?sig=1"), is_web("s3://bucket/a.jpg")
        (True, False)
    """
    return location.lower().startswith(("http://", "https://"))


def download(url: str) -> bytes:
    """Return what a URL gives. Proxies are those of the environment.

    Raises:
        ConnectionError: the server is busy or not reached, or the answer broke off: another try may do better.
        FileNotFoundError: there is nothing.
        PermissionError: it is not given; a signed URL may be too old.
        DataError: no URL, or an answer that is no image's.
    """
    asked = quote(url, safe="%/:=&?~#+!$,;'@()*[]", errors="surrogateescape")  # blanks and other letters than ASCII's
    try:
        host = urlsplit(asked).hostname
    except ValueError as error:
        raise DataError(f"{url} is no URL: {error}.") from error
    if not host:
        raise DataError(f"{url} is no URL: it names no host.")
    request = urllib.request.Request(asked, headers={"User-Agent": f"maezoo/{__version__}"})  # noqa: S310 - see is_web
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
            data: bytes = answer.read(_MOST + 1)
            missing = answer.length
    except urllib.error.HTTPError as error:
        raise _refusal(url, error) from error
    except http.client.InvalidURL as error:
        raise DataError(f"{url} is no URL: {error}.") from error
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionError(f"{url} cannot be fetched: {getattr(error, 'reason', error) or error!r}") from error
    if len(data) > _MOST:
        raise DataError(f"{url} gives more than {_MOST:,} bytes; no image has so many.")
    if missing:
        raise ConnectionError(f"{url}: the answer broke off {missing:,} bytes before its end")
    return data


def _refusal(url: str, error: urllib.error.HTTPError) -> OSError | DataError:
    """Word the error for an answer other than 200."""
    error.close()
    said = f"the server says {error.code} {error.reason}"
    if error.code >= 500 or error.code in _PASSING:
        return ConnectionError(f"{url}: {said}")
    kind = _REFUSED.get(error.code)
    return DataError(f"{url}: {said}.") if kind is None else kind(_CODES[kind], said, url)
