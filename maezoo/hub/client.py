"""One request to the hub. This file checks what is asked and what is answered, and makes the client's errors ours.

The addresses, the token, the proxies, the session, `get_hf_file_metadata` and the errors of each status are
huggingface_hub's. The answer to a question is checked here because it becomes a path in the cache; the body is streamed
here because no public function of huggingface_hub gives it in pieces (see transfer.py for why that is needed).
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from importlib import import_module
from typing import Any

from maezoo.errors import IntegrityError, UnknownModelError, WeightsNotFoundError
from maezoo.manifest.names import path_problem, repo_problem, short
from maezoo.version import __version__

__all__ = [
    "ATTEMPTS",
    "HubFile",
    "HubUnreachableError",
    "RemoteFile",
    "TransientError",
    "hub_utils",
    "open_stream",
    "read_metadata",
]

ATTEMPTS = 5  # failures in a row, none of which brought a hundredth of the file
_SAFE_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")
_LARGEST = 10**14  # bytes
_LOGIN = "hf auth login"
_LIBRARY: dict[str, Any] = {"library_name": "maezoo", "library_version": __version__}


class HubUnreachableError(Exception):
    """The hub could not be reached, or would not give the file; the message says why."""


class TransientError(Exception):
    """A failure that may pass: it is tried again."""

    def __init__(self, reason: str, wait: float | None = None, attempts: int = ATTEMPTS) -> None:
        super().__init__(reason)
        self.wait = wait
        self.attempts = attempts


@dataclass(frozen=True)
class HubFile:
    """A file of the hub, and what is known of it beforehand.

    Attributes:
        repo_id: its repository.
        revision: a commit, branch, tag or ref.
        filename: its path in the repository.
        size: bytes.
        sha256: 64 hex digits.
    """

    repo_id: str
    revision: str
    filename: str
    size: int | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        """Refuse names that lead out of the cache, whoever gave them."""
        for what, problem in (
            ("repository", repo_problem(self.repo_id)),
            ("revision", path_problem(self.revision)),
            ("file", path_problem(self.filename)),
        ):
            if problem:
                raise UnknownModelError(f"the {what} of weights on the hub {problem}.", reason=problem)

    @property
    def url(self) -> str:
        """The address of the file, at `HF_ENDPOINT` if that is set."""
        from huggingface_hub import hf_hub_url

        return str(hf_hub_url(self.repo_id, self.filename, revision=self.revision))


@dataclass(frozen=True)
class RemoteFile:
    """What the hub says of a file.

    Attributes:
        commit: the commit that the revision stands for.
        etag: the file's sha256 (large files) or git sha1 (small ones).
        size: bytes.
    """

    commit: str
    etag: str
    size: int | None

    @property
    def sha256(self) -> str | None:
        """The file's sha256, where the hub names it by that."""
        return self.etag if re.fullmatch("[0-9a-f]{64}", self.etag) else None

    @property
    def digest(self) -> str | None:
        """The file's sha256 or git sha1; `None` for the etag of a mirror that names files by something else."""
        return self.etag if re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", self.etag) else None


def hub_utils() -> Any:
    """Return `huggingface_hub.utils`, whose names are not declared for type checkers."""
    return import_module("huggingface_hub.utils")


def read_metadata(file: HubFile) -> RemoteFile:
    """Ask once for a file's commit, hash and size.

    Raises:
        WeightsNotFoundError, HubUnreachableError, TransientError: no such file, no hub, no answer now.
    """
    from huggingface_hub import constants, get_hf_file_metadata

    with _translated(file):
        found = get_hf_file_metadata(file.url, timeout=constants.HF_HUB_ETAG_TIMEOUT, **_LIBRARY)
    if found.commit_hash is None or found.etag is None:
        raise HubUnreachableError(
            f"{file.url} was answered, but not by a hub (a log-in page of this network? a wrong HF_ENDPOINT?)"
        )
    if not all(_SAFE_NAME.fullmatch(name) and not path_problem(name) for name in (found.commit_hash, found.etag)):
        raise HubUnreachableError(f"{file.url} was answered with the malformed etag {short(found.etag)}")
    if found.size is not None and not 0 <= found.size <= _LARGEST:
        raise HubUnreachableError(f"{file.url} was answered with the malformed size {found.size}")
    return RemoteFile(found.commit_hash, found.etag, found.size)


@contextmanager
def open_stream(file: HubFile, remote: RemoteFile, have: int) -> Iterator[tuple[Any, Iterator[bytes]]]:
    """Request a file from a byte on; give the response and its chunks as they come.

    Raises:
        WeightsNotFoundError, HubUnreachableError, TransientError: no such file, no hub, no answer now; also while
            the chunks are read.
    """
    from huggingface_hub import constants, get_session

    utils = hub_utils()
    url = HubFile(file.repo_id, remote.commit, file.filename).url
    headers = utils.build_hf_headers(**_LIBRARY)
    headers["Accept-Encoding"] = "identity"  # bytes of the file, so that they can be counted and resumed
    if have:
        headers["Range"] = f"bytes={have}-"
    session: Any = get_session()
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with _translated(file):
        if callable(getattr(session, "stream", None)):  # huggingface_hub 1 and later; for requests it is a flag
            with session.stream("GET", url, headers=headers, timeout=timeout, follow_redirects=True) as response:
                utils.hf_raise_for_status(response)
                yield response, response.iter_bytes()
        else:
            with session.get(url, headers=headers, timeout=timeout, stream=True) as response:
                utils.hf_raise_for_status(response)
                yield response, response.iter_content(2**16)


@contextmanager
def _translated(file: HubFile) -> Iterator[None]:
    """Turn the client's errors into ours."""
    from huggingface_hub import errors

    try:
        yield
    except errors.OfflineModeIsEnabled as error:
        raise HubUnreachableError("HF_HUB_OFFLINE is set") from error
    except errors.GatedRepoError as error:
        page = f"https://huggingface.co/{file.repo_id}"
        message = f"{file.repo_id} is gated: accept its terms at {page}, then `hf auth login` or set HF_TOKEN."
        raise WeightsNotFoundError(message, reason="gated", url=page, command=_LOGIN) from error
    except errors.RepositoryNotFoundError as error:
        message = f"{file.url}: no repository {file.repo_id}, or no access to it (`{_LOGIN}`, or set HF_TOKEN)."
        raise WeightsNotFoundError(message, reason="no such repository", url=file.url, command=_LOGIN) from error
    except errors.RevisionNotFoundError as error:
        message = f"{file.url}: {file.repo_id} has no revision {file.revision!r}."
        raise WeightsNotFoundError(message, reason="no such revision", url=file.url) from error
    except errors.EntryNotFoundError as error:
        message = f"{file.url}: no {file.filename} there at {file.revision!r}."
        raise WeightsNotFoundError(message, reason="no such file", url=file.url) from error
    except errors.HfHubHTTPError as error:
        raise _for_status(file, error.response) from error
    except _http_errors() as error:
        raise TransientError(f"{file.url}: {type(error).__name__} {error}".rstrip(), attempts=3) from error


def _for_status(file: HubFile, response: Any) -> Exception:
    """Word the error for a status that huggingface_hub has no class for."""
    status = response.status_code
    if status == 416:  # the bytes we have are not those of this file
        return IntegrityError(f"{file.url}: what was downloaded before does not belong to this file.", url=file.url)
    reason = f"{file.url} answered {status}"
    if status not in (408, 425, 429) and status < 500:
        message = f"{reason}: no access to this file (`{_LOGIN}`, or set HF_TOKEN)."
        return WeightsNotFoundError(message, reason=f"status {status}", url=file.url, command=_LOGIN)
    wait = _retry_after(response.headers.get("Retry-After"))
    return TransientError(reason if wait is None else f"{reason} and asks to wait {wait:.0f} s", wait)


def _retry_after(text: str | None) -> float | None:
    """Read a Retry-After header: seconds, or a date."""
    if text is None:
        return None
    try:
        wait = float(text) if text.strip().isdigit() else parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, TypeError):
        return None
    return max(wait, 0.0)


def _http_errors() -> tuple[type[Exception], ...]:
    """Return the base errors of the HTTP libraries that huggingface_hub may use: requests, httpx, or httpx2."""
    found: list[type[Exception]] = []
    for module, name in (("httpx2", "HTTPError"), ("httpx", "HTTPError"), ("requests", "RequestException")):
        try:
            found.append(getattr(import_module(module), name))
        except ImportError:
            continue
    return tuple(found)
