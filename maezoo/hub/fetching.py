"""Where is a weight's file? A verified path: inside the package, in the cache, or from the hub."""

from importlib import resources
from pathlib import Path

from maezoo.checkpoints.filetype import is_pickle_name
from maezoo.errors import ArgumentError, LayoutError, WeightsNotFoundError
from maezoo.hub.cache import HubCache
from maezoo.hub.client import HubFile
from maezoo.hub.models import fetch_model, shards_of
from maezoo.hub.pickles import fetch_copy, find_copy
from maezoo.hub.verification import check_file
from maezoo.manifest.entries import WeightsEntry
from maezoo.manifest.licensing import acknowledge_license

__all__ = ["fetch", "hub_file", "locate", "locate_all"]


def fetch(
    entry: WeightsEntry,
    *,
    decoder: bool = False,
    cache_dir: str | Path | None = None,
    offline: bool | None = None,
) -> Path:
    """Return the path of an entry's file, verified: an index, where it is several; of a pickle the safetensors copy.

    Args:
        entry: of the manifest.
        decoder: fetch the decoder too, where it has a file of its own.
        cache_dir: where downloads are kept; huggingface_hub's own cache when `None`.
        offline: never ask the network; `None` follows `HF_HUB_OFFLINE`.

    Raises:
        LicenseError: its licence is refused by `MAEZOO_ALLOW_NONCOMMERCIAL=0`.
        WeightsNotFoundError: the package or the hub lacks the file.
        OfflineError: it is not in the cache, and the hub may not be asked or does not answer.
        IntegrityError: it is not the file that was published, and neither is what the hub gives now; or it is a pickle
            that holds more than tensors, or whose sha256 nobody has published.
        DiskFullError: no room for it.
    """
    if entry.noncommercial:
        acknowledge_license(entry.name, entry.license, entry.license_note)
    if entry.package_file is None:
        file, command = hub_file(entry), f"maezoo download {entry.name}"
        if is_pickle_name(file.filename):
            return fetch_copy(entry, file, cache_dir=cache_dir, offline=offline, command=command)
        return fetch_model(file, decoder=decoder, cache_dir=cache_dir, offline=offline, command=command)
    path = _packaged(entry.package_file)
    if not path.exists():
        message = f"{entry.name}: the package lacks {entry.package_file}; install maezoo again."
        raise WeightsNotFoundError(message, path=path)
    check_file(path, expected=entry.sha256, expected_size=entry.size).require("Install maezoo again.")
    return path


def hub_file(entry: WeightsEntry) -> HubFile:
    """Return where the hub has an entry's file. The entry must have a repository."""
    if entry.repo_id is None or entry.revision is None or entry.filename is None:
        raise ArgumentError(f"{entry.name} is a file of the package, not of the hub.", found=entry.name)
    return HubFile(entry.repo_id, entry.revision, entry.filename, entry.size, entry.sha256)


def locate(entry: WeightsEntry, *, cache_dir: str | Path | None = None) -> Path | None:
    """Return the path of an entry's file if it is on this machine, unverified; sends no request.

    Of a pickle it is the safetensors copy, or the pickle itself where that has not been converted yet.
    """
    if entry.package_file is not None:
        path = _packaged(entry.package_file)
        return path if path.exists() else None
    file = hub_file(entry)
    try:
        cache = HubCache.at(cache_dir)
        return find_copy(file, cache) or cache.find(file)
    except WeightsNotFoundError:  # no home folder, no cache
        return None


def locate_all(entry: WeightsEntry, *, cache_dir: str | Path | None = None) -> list[Path]:
    """Return the paths of all files of an entry that are on this machine, unverified; sends no request.

    The one that is loaded comes first. After it come those that an index names, or the pickle that it was made of.
    """
    first = locate(entry, cache_dir=cache_dir)
    if first is None or entry.package_file is not None:
        return [] if first is None else [first]
    file, cache = hub_file(entry), HubCache.at(cache_dir)
    published = cache.find(file)
    try:
        shards = shards_of(file, published) if published is not None else []
    except LayoutError:  # a damaged index
        shards = []
    found = [cache.find(each) for each in (file, *shards)]
    return list(dict.fromkeys([first, *(path for path in found if path is not None)]))


def _packaged(name: str) -> Path:
    """Return where the package has a file; the manifest's checks keep the name inside its folder."""
    return Path(str(resources.files("maezoo"))) / "checkpoints" / name
