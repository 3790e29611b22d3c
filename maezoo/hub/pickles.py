"""Weights that are published as a pickle: verified, read once as tensors alone, and kept as safetensors.

The copy is kept next to the file's repository in the cache, where that can be written; else in `HF_HOME/maezoo`. Its
header has the sha256 of the file that it was made of. Once it is there, that file is neither read nor needed.
"""

import errno
import logging
import shlex
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from safetensors import SafetensorError, safe_open

from maezoo.checkpoints.filetype import is_pickle_name
from maezoo.checkpoints.metadata import SOURCE_KEY
from maezoo.errors import IntegrityError, MaezooError, WeightsNotFoundError
from maezoo.hashes import sha256_of
from maezoo.hub.cache import HubCache
from maezoo.hub.client import HubFile, hub_utils
from maezoo.hub.files import check_cached, fetch_file, is_offline
from maezoo.hub.verification import Check, FileState, check_file, remember_check
from maezoo.manifest.description import Description
from maezoo.manifest.entries import WeightsEntry
from maezoo.paths import state_folder

__all__ = ["check_copy", "fetch_copy", "find_copy", "record_of_copy"]

_logger = logging.getLogger(__name__)
_UNWRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST})


def fetch_copy(
    entry: WeightsEntry,
    file: HubFile,
    *,
    cache_dir: str | Path | None = None,
    offline: bool | None = None,
    command: str,
) -> Path:
    """Return the path of the safetensors copy of an entry's pickle, made when there is none.

    Args:
        entry: of the manifest.
        file: its pickle on the hub.
        cache_dir: where downloads are kept; huggingface_hub's own cache when `None`.
        offline: never ask the network; `None` follows `HF_HUB_OFFLINE`.
        command: what fetches it on a machine with a network, for errors.

    Raises:
        WeightsNotFoundError, OfflineError, DiskFullError: see `maezoo.hub.fetching.fetch`; or the copy cannot be kept.
        IntegrityError: the pickle is not the published one, nobody has published its sha256, or it holds more than
            tensors.
        LayoutError: its tensors are not those of the entry's architecture.
    """
    cache = HubCache.at(cache_dir)
    kept = _usable_copy(entry, file, cache)
    if kept is not None:
        return kept
    unwritable: list[str] = []
    for place in _places(file, cache):
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with hub_utils().WeakFileLock(place.with_suffix(".lock")):
                kept = _usable_copy(entry, file, cache)  # another process may just have made it
                if kept is None:
                    if (old := find_copy(file, cache)) is not None:
                        _logger.warning("%s is damaged, or was made of another file; it is made again", old)
                    path, sha256 = _verified(entry, file, cache, cache_dir, offline, command)
                    kept = _convert(entry, path, sha256, place)
            return kept
        except MaezooError:
            raise
        except OSError as error:
            if error.errno not in _UNWRITABLE:
                raise
            unwritable.append(f"{place.parent} ({error.strerror})")
    folders = " nor ".join(unwritable)
    raise WeightsNotFoundError(
        f"{entry.name} is published as a pickle, and its safetensors copy cannot be kept: neither {folders} can be "
        f"written. Set HF_HUB_CACHE or HF_HOME to a folder of yours, or run `{command}` as someone who can.",
        path=cache.root,
        reason=f"{folders} cannot be written",
        command=command,
    )


def find_copy(file: HubFile, cache: HubCache) -> Path | None:
    """Return the path of the copy of a pickle, unverified; `None` when there is none. Sends no request."""
    if not is_pickle_name(file.filename):
        return None
    return next((place for place in _places(file, cache) if place.is_file()), None)


def check_copy(entry: WeightsEntry, path: Path, *, mode: str | None = None) -> Check:
    """Compare a copy with what it was when it was made, and with the pickle that the manifest pins.

    Args:
        entry: of the manifest.
        path: of the copy.
        mode: see `maezoo.hub.verification.check_file`.

    Raises:
        IntegrityError: it is no whole safetensors file, or was made of another pickle.
    """
    source, decoder = _header(path)
    if source is None or entry.sha256 not in (None, source):
        message = f"{path} was made of a file with the sha256 {source}, expected {entry.sha256}."
        raise IntegrityError(message, path=path, expected=entry.sha256, found=source)
    if entry.has_decoder and not decoder:
        raise IntegrityError(f"{path} lacks the decoder of {entry.name}.", path=path)
    return check_file(path, expected=None, record_at=record_of_copy(path), mode=mode)


def record_of_copy(path: Path) -> Path:
    """Return where the last check of a copy is remembered."""
    return path.with_name(f"{path.name}.json")


def _usable_copy(entry: WeightsEntry, file: HubFile, cache: HubCache) -> Path | None:
    """Return the path of the first copy that is what it was when it was made."""
    for place in _places(file, cache):
        if not place.is_file():
            continue
        with suppress(IntegrityError):
            check_copy(entry, place).require("It is made again.")
            return place
    return None


def _places(file: HubFile, cache: HubCache) -> list[Path]:
    """List where the copy of a pickle may lie."""
    first = cache.record(file).with_suffix(".safetensors")
    places = [first]
    with suppress(WeightsNotFoundError):  # no home folder
        folder = state_folder() / "converted" / cache.repository(file).name / quote(file.revision, safe="")
        places.append(folder / first.name)
    return places


def _header(path: Path) -> tuple[str | None, bool]:
    """Return the sha256 of the pickle that a copy was made of, and whether the copy has a decoder."""
    try:
        with safe_open(path, framework="pt") as opened:
            names = opened.keys()
            return (opened.metadata() or {}).get(SOURCE_KEY), any(name.startswith("decoder.") for name in names)
    except SafetensorError as error:
        message = f"{path} is not a whole safetensors file: {error}."
        raise IntegrityError(message, path=path, reason=str(error)) from error


def _verified(
    entry: WeightsEntry,
    file: HubFile,
    cache: HubCache,
    cache_dir: str | Path | None,
    offline: bool | None,
    command: str,
) -> tuple[Path, str]:
    """Return the path of an entry's pickle and its sha256, which somebody has published; the file has it."""
    path = fetch_file(file, cache_dir=cache_dir, offline=offline, command=command)
    check = check_cached(file, path, cache, offline=is_offline(offline), mode="changed")
    if not _is_known(check):  # the hub may know by now
        check = check_cached(file, path, cache, offline=is_offline(offline), mode="always")
    check.require(f"Run `{command}` with a network, or delete the file.", command)
    if _is_known(check) and check.expected is not None:
        return path, check.expected
    output = f"{entry.name}.safetensors"
    words = ["maezoo", "convert", str(path), output, "--like", entry.name]
    convert = shlex.join(words if entry.has_decoder else [*words, "--encoder-only"])
    raise IntegrityError(
        f"{path} is a pickle whose sha256 is not known: neither the manifest nor the hub has it, so it is not read. "
        f"If you trust the file, convert it with `{convert}`, then "
        f"maezoo.create({entry.architecture!r}, checkpoint={output!r}).",
        path=path,
        reason="its sha256 is not known",
        found=check.found,
        url=file.url,
        command=convert,
    )


def _is_known(check: Check) -> bool:
    """Tell whether a file was compared with a published sha256; git's sha1 is no protection for a pickle."""
    return check.published and len(check.expected or "") == 64


def _convert(entry: WeightsEntry, path: Path, sha256: str, place: Path) -> Path:
    """Make the copy of a verified pickle."""
    from maezoo.checkpoints.convert import convert  # torch: only where a pickle is read

    _logger.info("reading %s once; its weights are kept in %s", path, place)
    convert(path, place, like=Description.of_entry(entry), encoder_only=not entry.has_decoder, published=sha256)
    found = sha256_of(place)
    remember_check(place, FileState.of(place), found, found, record_of_copy(place))
    return place
