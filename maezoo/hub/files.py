"""One file of the hub, verified: from the cache without a request, else downloaded."""

import logging
import os
from pathlib import Path

from maezoo.errors import DiskFullError, OfflineError, WeightsNotFoundError
from maezoo.hub.cache import HubCache
from maezoo.hub.client import HubFile, HubUnreachableError
from maezoo.hub.downloading import download_to_cache
from maezoo.hub.transfer import ask
from maezoo.hub.verification import Check, check_file

__all__ = ["check_cached", "fetch_file", "is_offline"]

_logger = logging.getLogger(__name__)


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
