"""A verified path for each weight: inside the package, in the cache, or from the hub."""

import errno
import logging
import os
import shutil
from dataclasses import replace
from importlib import resources
from pathlib import Path

from maezoo.errors import (
    ArgumentError,
    DiskFullError,
    IntegrityError,
    OfflineError,
    UnknownModelError,
    WeightsNotFoundError,
)
from maezoo.files import digest_of
from maezoo.hub.cache import SPARE, HubCache
from maezoo.hub.client import HubFile, HubUnreachableError, RemoteFile
from maezoo.hub.records import FileState
from maezoo.hub.transfer import ask, download
from maezoo.hub.verification import Check, check_file, remember_check
from maezoo.manifest.checks import path_problem
from maezoo.manifest.entries import WeightsEntry
from maezoo.manifest.licensing import acknowledge_license

__all__ = ["check_cached", "fetch", "fetch_file", "hub_file", "is_offline", "locate"]

_logger = logging.getLogger(__name__)


def fetch(entry: WeightsEntry, *, cache_dir: str | Path | None = None, offline: bool | None = None) -> Path:
    """Return the path of an entry's file, verified.

    Args:
        entry: of the manifest.
        cache_dir: where downloads are kept; huggingface_hub's own cache when `None`.
        offline: never ask the network; `None` follows `HF_HUB_OFFLINE`.

    Raises:
        LicenseError: its licence is refused by `MAEZOO_ALLOW_NONCOMMERCIAL=0`.
        WeightsNotFoundError: the package or the hub lacks the file.
        OfflineError: it is not in the cache, and the hub may not be asked or does not answer.
        IntegrityError: it is not the file that was published, and neither is what the hub gives now.
        DiskFullError: no room for it.
    """
    if entry.noncommercial:
        acknowledge_license(entry.name, entry.license, entry.license_note)
    if entry.package_file is not None:
        return _packaged(entry)
    return fetch_file(hub_file(entry), cache_dir=cache_dir, offline=offline, command=f"maezoo download {entry.name}")


def hub_file(entry: WeightsEntry) -> HubFile:
    """Return where the hub has an entry's file. The entry must have a repository."""
    if entry.repo_id is None or entry.revision is None or entry.filename is None:
        raise ArgumentError(f"{entry.name} lies in the package, not on the hub.")
    return HubFile(entry.repo_id, entry.revision, entry.filename, entry.size, entry.sha256)


def locate(entry: WeightsEntry, *, cache_dir: str | Path | None = None) -> Path | None:
    """Return the path of an entry's file if it is on this machine, unverified; asks nobody."""
    if entry.package_file is None:
        try:
            return HubCache.at(cache_dir).find(hub_file(entry))
        except WeightsNotFoundError:  # no home folder, no cache
            return None
    if problem := path_problem(entry.package_file):
        raise UnknownModelError(f"{entry.name}: package_file {problem}.")
    path = Path(str(resources.files("maezoo"))) / "checkpoints" / entry.package_file
    return path if path.exists() else None


def is_offline(offline: bool | None = None) -> bool:
    """Whether the network may not be used: as the caller says, else `HF_HUB_OFFLINE`, now or when Python started."""
    from huggingface_hub import constants

    if offline is not None:
        return offline
    return bool(constants.HF_HUB_OFFLINE) or os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def fetch_file(
    file: HubFile,
    *,
    cache_dir: str | Path | None = None,
    offline: bool | None = None,
    command: str = "maezoo download",
) -> Path:
    """Return the path of a hub's file, verified: from the cache without a request, else downloaded.

    Args:
        file: the file.
        cache_dir: where downloads are kept; huggingface_hub's own cache when `None`.
        offline: never ask the network; `None` follows `HF_HUB_OFFLINE`.
        command: what fetches this file on a machine with a network, for the error.

    Raises:
        WeightsNotFoundError, OfflineError, IntegrityError, DiskFullError: see `fetch`.
    """
    cache = HubCache.at(cache_dir)
    path = cache.find(file)
    try:
        if path is None:
            return _download(file, cache, is_offline(offline))
        check = check_cached(file, path, cache, offline=is_offline(offline))
        if check.fine:
            return path
        _logger.warning("%s; fetching it again", check.problem())
        try:
            return _download(file, cache, is_offline(offline))
        except (HubUnreachableError, DiskFullError) as error:
            check.require(f"It cannot be fetched again: {error}. Run `{command}` with a network, or delete the file.")
            raise
    except HubUnreachableError as error:
        raise OfflineError(
            f"{file.filename} of {file.repo_id} is not in the cache, and {error}. "
            f"URL: {file.url}  cache: {cache.expected_path(file)}  sha256: {file.sha256 or 'the hub knows'}. "
            f"Fetch it where there is a network with `{command}`, and copy the cache (HF_HUB_CACHE) here."
        ) from error


def check_cached(
    file: HubFile, path: Path, cache: HubCache, *, offline: bool = False, mode: str | None = None
) -> Check:
    """Compare a cached file with its pinned hash, or with the one that the hub has for it.

    Args:
        file: what it should be.
        path: where it is.
        cache: which it is in.
        offline: never ask. The hub is asked only for a file that another tool fetched and left no hash with.
        mode: see `check_file`.
    """
    expected = file.sha256 or cache.known_hash(path)
    check = check_file(path, expected=expected, expected_size=file.size, beside=cache.record(file), mode=mode)
    seen_before = check.expected is not None and mode != "always"
    if check.published or seen_before or check.found is None or offline:
        return check
    try:
        expected = ask(file, attempts=1).digest
    except (HubUnreachableError, WeightsNotFoundError) as error:
        _logger.warning("%s is not verified: nobody here knows its hash, and %s", path, error)
        return check
    return check_file(path, expected=expected, expected_size=file.size, beside=cache.record(file), mode="always")


def _packaged(entry: WeightsEntry) -> Path:
    """Return the verified path of a file that came with the package."""
    path = locate(entry)
    if path is None:
        raise WeightsNotFoundError(f"{entry.name}: the package lacks {entry.package_file}; install maezoo again.")
    check_file(path, expected=entry.sha256, expected_size=entry.size).require("Install maezoo again.")
    return path


def _download(file: HubFile, cache: HubCache, offline: bool) -> Path:
    """Fetch a file that is not in the cache, or is there damaged; one process does, others wait for it."""
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
            f"({error.strerror}). Set HF_HUB_CACHE or cache_dir to a folder of yours."
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
        # Where the lock does not hold, another process may have been faster, and have cleared up.
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
    beside = cache.record(file)
    for there in (cache.find(replace(file, revision=remote.commit)), cache.blob(file, remote)):
        if there is None:
            continue
        check = check_file(there, expected=expected, expected_size=size, beside=beside, mode="changed")
        if check.fine and check.found is not None:
            placed = cache.place(there, file, remote)
            remember_check(placed, FileState.of(placed), check.found, expected, beside)
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
                f"A proxy may damage it, or HF_ENDPOINT name a bad mirror."
            )
    except IntegrityError:
        partial.unlink(missing_ok=True)
        raise
    return found


def _check_pins(file: HubFile, remote: RemoteFile) -> None:
    """Refuse, before anything is downloaded, a file that the hub itself says is another one."""
    if file.sha256 is not None and remote.sha256 not in (None, file.sha256):
        raise IntegrityError(
            f"the hub has {file.url} with sha256 {remote.sha256}, expected {file.sha256}: "
            f"another file than the manifest's. Mend the manifest, or HF_ENDPOINT."
        )
    if file.size is not None and remote.size not in (None, file.size):
        raise IntegrityError(
            f"the hub has {file.url} with {remote.size:,} bytes, expected {file.size:,}: "
            f"another file than the manifest's. Mend the manifest, or HF_ENDPOINT."
        )


def _check_space(file: HubFile, remote: RemoteFile, partial: Path) -> None:
    """Refuse a download that there is no room for."""
    have = partial.stat().st_size if partial.exists() else 0
    needed = (remote.size or file.size or 0) - have
    free = shutil.disk_usage(partial.parent).free
    if needed > 2**20 and needed + SPARE > free:
        raise DiskFullError(
            f"{file.filename} of {file.repo_id} needs {needed / 1e6:,.0f} MB, and {partial.parent} has "
            f"{free / 1e6:,.0f} MB free (64 MB are left alone). Free some, or set HF_HUB_CACHE."
        )
