"""One file from the hub: asked about, then streamed to disk, resumed and retried within bounds.

URL, token, proxies, HTTP client and progress bar are huggingface_hub's. The loop is ours, because `hf_hub_download`
sleeps as long as a Retry-After says, starts from zero after a reset or a kill, never gives up on a server that always
cuts at the same byte, and never hashes what came.
"""

import errno
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any, TypeVar

from maezoo.errors import DiskFullError, IntegrityError
from maezoo.hub.client import (
    ATTEMPTS,
    HubFile,
    HubUnreachableError,
    RemoteFile,
    TransientError,
    hub_utils,
    open_stream,
    read_metadata,
)
from maezoo.notebooks import in_notebook
from maezoo.progress import track

__all__ = ["ask", "download"]

_logger = logging.getLogger(__name__)
_LONGEST_WAIT = 120.0  # seconds; a server that asks for more is given up at once
_SLOWEST = 1024  # bytes a second, over `_SLOW_FOR` seconds; a server that gives less hangs
_SLOW_FOR = 60.0
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG} if hasattr(errno, "EDQUOT") else {errno.ENOSPC})
_T = TypeVar("_T")


def ask(file: HubFile, *, attempts: int = ATTEMPTS) -> RemoteFile:
    """Ask the hub for a file's commit, hash and size.

    Raises:
        WeightsNotFoundError: no such repository, revision or file, or no access to it.
        HubUnreachableError: no answer, or none that a hub would give.
    """
    return _retry(lambda: read_metadata(file), lambda: False, attempts)


def download(file: HubFile, remote: RemoteFile, partial: Path) -> None:
    """Stream a file to `partial`, resuming after the bytes that are there; a failure leaves them for the next time.

    Raises:
        IntegrityError: another number of bytes came than the hub announced.
        DiskFullError: no room for it.
        WeightsNotFoundError, HubUnreachableError: see `ask`.
    """
    furthest = partial.stat().st_size if partial.exists() else 0
    step = max((remote.size or 0) // 100, 1)

    def progressed() -> bool:
        nonlocal furthest
        reached = partial.stat().st_size if partial.exists() else 0
        if reached < furthest + step:
            return False
        furthest = reached
        return True

    with _bar(file, remote, furthest) as advance:
        _retry(lambda: _stream(file, remote, partial, advance), progressed)


def _retry(action: Callable[[], _T], progressed: Callable[[], bool], attempts: int = ATTEMPTS) -> _T:
    """Do something until it succeeds, with growing pauses; give up after some failures in a row without progress."""
    failures = 0
    while True:
        try:
            return action()
        except TransientError as error:
            failures = 1 if progressed() else failures + 1
            wait = error.wait if error.wait is not None else 0.25 * 2**failures
            if failures >= min(error.attempts, attempts) or wait > _LONGEST_WAIT:
                tried = f"after {failures} attempts" if failures > 1 else "at the first attempt"
                raise HubUnreachableError(f"{error} ({tried})") from error
            _logger.info("%s; trying again in %.1f s", error, wait)
            time.sleep(wait)


def _stream(file: HubFile, remote: RemoteFile, partial: Path, advance: Callable[[int], None]) -> None:
    """Fetch what is missing of a file in one request."""
    there = have = partial.stat().st_size if partial.exists() else 0
    if remote.size is not None and have == remote.size > 0:
        return
    if remote.size is not None and have > remote.size:
        partial.unlink()
        have = 0
    with open_stream(file, remote, have) as (response, chunks):
        resumed = have > 0 and response.status_code == 206
        _check_announced(file, remote, response, have if resumed else 0)
        if not resumed:
            advance(-there)
        with partial.open("ab" if resumed else "wb", buffering=0) as target:  # a full disk leaves nothing in a buffer
            for chunk in _steady(chunks):
                _write(target, chunk)
                advance(len(chunk))
                if remote.size is not None and target.tell() > remote.size:
                    message = f"{file.url} gave more than the file's {remote.size:,} bytes."
                    raise IntegrityError(message, expected=remote.size, found=target.tell(), url=file.url)
    size = partial.stat().st_size
    if remote.size is not None and size < remote.size:
        raise TransientError(f"{file.url} was cut after {size:,} of {remote.size:,} bytes")


def _steady(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Pass chunks on as long as they do not come too slowly."""
    started, received = time.monotonic(), 0
    for chunk in chunks:
        yield chunk
        received += len(chunk)
        elapsed = time.monotonic() - started
        if elapsed > _SLOW_FOR:
            if received < _SLOWEST * elapsed:
                raise TransientError(f"the hub gave {received:,} bytes in {elapsed:.0f} s")
            started, received = time.monotonic(), 0


def _write(target: FileIO, chunk: bytes) -> None:
    """Write a chunk through to the disk; when that is full, keep nothing there."""
    rest = memoryview(chunk)
    try:
        while rest:
            rest = rest[target.write(rest) :]
    except OSError as error:
        if error.errno not in _FULL:
            raise
        target.truncate(0)
        raise DiskFullError(
            f"no room for {target.name}: {error.strerror}. Free some, or set HF_HUB_CACHE to another disk.",
            path=target.name,
            reason=error.strerror,
        ) from error


def _check_announced(file: HubFile, remote: RemoteFile, response: Any, have: int) -> None:
    """Refuse a body of another length than the file's: a log-in page, another file."""
    length = response.headers.get("Content-Length")
    encoded = response.headers.get("Content-Encoding", "identity") != "identity"
    if length is None or not length.isdecimal() or encoded or remote.size is None or int(length) + have == remote.size:
        return
    kind = response.headers.get("Content-Type", "unknown type")
    raise IntegrityError(
        f"{file.url} gave {int(length):,} bytes of {kind} where {remote.size - have:,} bytes of the file were due.",
        expected=remote.size - have,
        found=int(length),
        url=file.url,
    )


@contextmanager
def _bar(file: HubFile, remote: RemoteFile, have: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar that begins at the bytes that are there, unless `HF_HUB_DISABLE_PROGRESS_BARS` says no."""
    name = f"{file.repo_id}/{file.filename}"
    if in_notebook():
        show = not hub_utils().are_progress_bars_disabled()
        with track(remote.size, "B", show=show, unit_scale=True, desc=name, initial=have) as advance:
            yield advance
        return
    options = {"total": remote.size, "initial": have, "unit": "B", "unit_scale": True, "desc": name, "disable": None}
    with hub_utils().tqdm(**options) as bar:
        yield bar.update
