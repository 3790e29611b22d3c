"""Where is a weight's file? A verified path: inside the package, in the cache, or from the hub."""

import logging
import os
from importlib import resources
from pathlib import Path, PurePosixPath

from maezoo.checkpoints.metadata import DECODER
from maezoo.checkpoints.pairs import has_decoder_key
from maezoo.errors import ArgumentError, DiskFullError, OfflineError, WeightsNotFoundError
from maezoo.hub.cache import HubCache
from maezoo.hub.client import HubFile, HubUnreachableError
from maezoo.hub.downloading import download_to_cache
from maezoo.hub.transfer import ask
from maezoo.hub.verification import Check, check_file
from maezoo.manifest.entries import WeightsEntry
from maezoo.manifest.licensing import acknowledge_license

__all__ = ["check_cached", "fetch", "fetch_decoder", "fetch_file", "hub_file", "is_offline", "locate"]

_logger = logging.getLogger(__name__)


def fetch(
    entry: WeightsEntry,
    *,
    decoder: bool = False,
    cache_dir: str | Path | None = None,
    offline: bool | None = None,
) -> Path:
    """Return the path of an entry's file, verified.

    Args:
        entry: of the manifest.
        decoder: fetch the decoder too, where it has a file of its own.
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
    if entry.package_file is None:
        file, command = hub_file(entry), f"maezoo download {entry.name}"
        path = fetch_file(file, cache_dir=cache_dir, offline=offline, command=command)
        if decoder:
            fetch_decoder(file, path, cache_dir=cache_dir, offline=offline, command=command)
        return path
    path = _packaged(entry.package_file)
    if not path.exists():
        message = f"{entry.name}: the package lacks {entry.package_file}; install maezoo again."
        raise WeightsNotFoundError(message, path=path)
    check_file(path, expected=entry.sha256, expected_size=entry.size).require("Install maezoo again.")
    return path


def fetch_decoder(
    file: HubFile, path: Path, *, cache_dir: str | Path | None = None, offline: bool | None = None, command: str
) -> None:
    """Fetch the decoder of an encoder's file, where it has one in a file of its own: that of the same commit.

    Args:
        file: the encoder's.
        path: where that is in the cache.
        cache_dir: as for the encoder.
        offline: as for the encoder.
        command: as for the encoder.

    Raises:
        WeightsNotFoundError, OfflineError, IntegrityError, DiskFullError: see `fetch`.
    """
    if not has_decoder_key(path):
        return
    place = PurePosixPath(file.filename)
    commit = path.parents[len(place.parts) - 1].name
    decoder = HubFile(file.repo_id, commit, (place.parent / DECODER).as_posix())
    fetch_file(decoder, cache_dir=cache_dir, offline=offline, command=command)


def hub_file(entry: WeightsEntry) -> HubFile:
    """Return where the hub has an entry's file. The entry must have a repository."""
    if entry.repo_id is None or entry.revision is None or entry.filename is None:
        raise ArgumentError(f"{entry.name} is a file of the package, not of the hub.", found=entry.name)
    return HubFile(entry.repo_id, entry.revision, entry.filename, entry.size, entry.sha256)


def locate(entry: WeightsEntry, *, cache_dir: str | Path | None = None) -> Path | None:
    """Return the path of an entry's file if it is on this machine, unverified; sends no request."""
    if entry.package_file is not None:
        path = _packaged(entry.package_file)
        return path if path.exists() else None
    try:
        return HubCache.at(cache_dir).find(hub_file(entry))
    except WeightsNotFoundError:  # no home folder, no cache
        return None


def is_offline(offline: bool | None = None) -> bool:
    """Whether the network may not be used: as the caller says, else `HF_HUB_OFFLINE`, now or when Python started."""
    from huggingface_hub import constants

    if offline is not None:
        return offline
    return bool(constants.HF_HUB_OFFLINE) or os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def fetch_file(
    file: HubFile, *, cache_dir: str | Path | None = None, offline: bool | None = None, command: str = "maezoo download"
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
            return download_to_cache(file, cache, is_offline(offline))
        check = check_cached(file, path, cache, offline=is_offline(offline))
        if check.fine:
            return path
        _logger.warning("%s; fetching it again", check.problem())
        try:
            return download_to_cache(file, cache, is_offline(offline))
        except (HubUnreachableError, DiskFullError) as error:
            fix = f"It cannot be fetched again: {error}. Run `{command}` with a network, or delete the file."
            check.require(fix, command)
            raise
    except HubUnreachableError as error:
        place = cache.expected_path(file)
        raise OfflineError(
            f"{file.filename} of {file.repo_id} is not in the cache, and {error}. "
            f"URL: {file.url}  cache: {place}  sha256: {file.sha256 or 'the hub knows'}. "
            f"Fetch it where there is a network with `{command}`, and copy the cache (HF_HUB_CACHE) here.",
            path=place,
            reason=str(error),
            expected=file.sha256,
            url=file.url,
            command=command,
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
    check = check_file(path, expected=expected, expected_size=file.size, record_at=cache.record(file), mode=mode)
    seen_before = check.expected is not None and mode != "always"
    if check.published or seen_before or check.found is None or offline:
        return check
    try:
        expected = ask(file, attempts=1).digest
    except (HubUnreachableError, WeightsNotFoundError) as error:
        _logger.warning("%s is not verified: its hash is not known here, and %s", path, error)
        return check
    return check_file(path, expected=expected, expected_size=file.size, record_at=cache.record(file), mode="always")


def _packaged(name: str) -> Path:
    """Return where the package has a file; the manifest's checks keep the name inside its folder."""
    return Path(str(resources.files("maezoo"))) / "checkpoints" / name
