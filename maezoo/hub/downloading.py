"""A file that is not in the cache: fetched under its lock, hashed, and put in its place there."""

import errno
import logging
import shutil
from dataclasses import replace
from pathlib import Path

from maezoo.errors import DiskFullError, IntegrityError, WeightsNotFoundError
from maezoo.hashes import digest_of
from maezoo.hub.cache import SPARE, HubCache
from maezoo.hub.client import HubFile, HubUnreachableError, RemoteFile
from maezoo.hub.transfer import ask, download
from maezoo.hub.verification import FileState, check_file, remember_check

__all__ = ["download_to_cache"]

_logger = logging.getLogger(__name__)


def download_to_cache(file: HubFile, cache: HubCache, offline: bool) -> Path:
    """Fetch a file that is not in the cache, or is damaged there; one process does it, others wait for it.

    Raises:
        HubUnreachableError: the hub may not be asked, or does not answer.
        WeightsNotFoundError, IntegrityError, DiskFullError: see `maezoo.hub.fetching.fetch`.
    """
    if offline:
        raise HubUnreachableError("the network may not be used (HF_HUB_OFFLINE, or offline=True)")
    remote = ask(file)
    _check_pins(file, remote)
    try:
        with cache.lock(file, remote):
            return _fetch_locked(file, remote, cache)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise WeightsNotFoundError(
            f"{file.filename} of {file.repo_id} is not in the cache {cache.root}, which cannot be written "
            f"({error.strerror}). Set HF_HUB_CACHE or cache_dir to a folder of yours.",
            path=cache.root,
            reason=error.strerror,
            url=file.url,
        ) from error


def _fetch_locked(file: HubFile, remote: RemoteFile, cache: HubCache) -> Path:
    """Fetch a file under its lock, unless another process just has, or another revision has the same file."""
    placed = _place_known(file, remote, cache)
    if placed is not None:
        return placed
    partial = cache.partial(file, remote)
    try:
        found = _fetch_whole(file, remote, partial)
        placed = cache.place(partial, file, remote)
    except BaseException as error:
        cache.leave(partial, file, remote)
        # Where the lock does not hold, another process may have been faster, and have removed this one's file.
        placed = _place_known(file, remote, cache) if type(error) is FileNotFoundError else None
        if placed is None:
            raise
        return placed
    remember_check(placed, FileState.of(placed), found, file.sha256 or remote.digest, cache.record(file))
    cache.clear(file, remote)
    return placed


def _place_known(file: HubFile, remote: RemoteFile, cache: HubCache) -> Path | None:
    """Return the place of a file whose bytes are here, verified, under its hash or another revision's name."""
    expected, size = file.sha256 or remote.digest, file.size or remote.size
    record_at = cache.record(file)
    for there in (cache.find(replace(file, revision=remote.commit)), cache.blob(file, remote)):
        if there is None:
            continue
        check = check_file(there, expected=expected, expected_size=size, record_at=record_at, mode="changed")
        if check.fine and check.found is not None:
            placed = cache.place(there, file, remote)
            remember_check(placed, FileState.of(placed), check.found, expected, record_at)
            return placed
    return None


def _fetch_whole(file: HubFile, remote: RemoteFile, partial: Path) -> str:
    """Download a file to `partial` and return its hash; a bad one is fetched again once, from zero."""
    try:
        return _fetch_once(file, remote, partial)
    except IntegrityError as error:
        _logger.warning("%s Fetching it again.", error)
    return _fetch_once(file, remote, partial)


def _fetch_once(file: HubFile, remote: RemoteFile, partial: Path) -> str:
    """Download a file and hash it; a bad one does not stay."""
    _check_space(file, remote, partial)
    expected = file.sha256 or remote.digest
    try:
        download(file, remote, partial)
        found = digest_of(partial, like=expected or "")
        if expected not in (found, None):
            raise IntegrityError(
                f"{file.url} gave a file with the hash {found}, expected {expected}; it is not kept. "
                f"A proxy may damage it, or HF_ENDPOINT name a bad mirror.",
                expected=expected,
                found=found,
                url=file.url,
            )
    except IntegrityError:
        partial.unlink(missing_ok=True)
        raise
    return found


def _check_pins(file: HubFile, remote: RemoteFile) -> None:
    """Refuse, before anything is downloaded, a file that the hub itself says is another one."""
    pins: list[tuple[str, object, object]] = [
        ("the sha256", remote.sha256, file.sha256),
        ("the size", remote.size, file.size),
    ]
    for what, found, expected in pins:
        if expected is not None and found not in (None, expected):
            raise IntegrityError(
                f"the hub has {file.url} with {what} {found}, expected {expected}: "
                f"another file than the manifest's. Correct the manifest, or HF_ENDPOINT.",
                expected=expected,
                found=found,
                url=file.url,
            )


def _check_space(file: HubFile, remote: RemoteFile, partial: Path) -> None:
    """Refuse a download that there is no room for."""
    have = partial.stat().st_size if partial.exists() else 0
    needed = (remote.size or file.size or 0) - have
    free = shutil.disk_usage(partial.parent).free
    if needed > 2**20 and needed + SPARE > free:
        raise DiskFullError(
            f"{file.filename} of {file.repo_id} needs {needed / 1e6:,.0f} MB, and {partial.parent} has "
            f"{free / 1e6:,.0f} MB free (64 MB are left alone). Free some, or set HF_HUB_CACHE.",
            path=partial.parent,
            expected=needed + SPARE,
            found=free,
            url=file.url,
        )
