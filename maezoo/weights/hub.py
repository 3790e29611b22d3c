"""A verified path for each weight: inside the package, in the cache, or from the hub."""

from importlib import resources
from pathlib import Path

from maezoo.errors import IntegrityError, WeightsNotFoundError
from maezoo.weights.hashing import sha256_of
from maezoo.weights.manifest import WeightsEntry

__all__ = ["fetch"]


def fetch(entry: WeightsEntry, *, cache_dir: str | Path | None = None, offline: bool | None = None) -> Path:
    """Return the path of an entry's file, verified.

    Args:
        entry: of the manifest.
        cache_dir: where downloads are kept; huggingface_hub's own cache when `None`.
        offline: never ask the network; `None` follows `HF_HUB_OFFLINE`.

    Raises:
        WeightsNotFoundError: the package lacks the file.
        IntegrityError: the file is not the one the manifest describes.
    """
    if entry.package_file is None:
        raise WeightsNotFoundError(f"{entry.name}: downloads are not there yet.")
    path = Path(str(resources.files("maezoo"))) / "weights" / entry.package_file
    if not path.exists():
        raise WeightsNotFoundError(f"{entry.name}: the package lacks {path}; install maezoo again.")
    found = sha256_of(path)
    if entry.sha256 is not None and found != entry.sha256:
        raise IntegrityError(f"{path} is damaged: sha256 {found}, expected {entry.sha256}; install maezoo again.")
    return path
