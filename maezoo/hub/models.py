"""The files of one model: a file, those that an index names, and the decoder where that has a file of its own."""

from pathlib import Path, PurePosixPath

from maezoo.checkpoints.index import INDEX, read_names
from maezoo.checkpoints.metadata import DECODER
from maezoo.checkpoints.pairs import has_decoder_key
from maezoo.errors import LayoutError
from maezoo.hub.client import HubFile
from maezoo.hub.files import fetch_file
from maezoo.manifest.names import path_problem

__all__ = ["fetch_model", "shards_of"]


def fetch_model(
    file: HubFile,
    *,
    decoder: bool = False,
    cache_dir: str | Path | None = None,
    offline: bool | None = None,
    command: str,
) -> Path:
    """Return the path of a file, verified, with all that belongs to it next to it: files of the same commit.

    Args:
        file: a safetensors file, or the index of several, which are then fetched and verified one by one.
        decoder: fetch the decoder too, where the file is an encoder that has one in a file of its own.
        cache_dir: as for `fetch_file`.
        offline: as for `fetch_file`.
        command: as for `fetch_file`.

    Raises:
        WeightsNotFoundError, OfflineError, IntegrityError, DiskFullError: see `maezoo.hub.fetching.fetch`.
        LayoutError: the index is none, or names what is no safetensors file next to it.
    """
    path = fetch_file(file, cache_dir=cache_dir, offline=offline, command=command)
    others = shards_of(file, path)
    if decoder and not others and has_decoder_key(path):
        others = [_next_to(file, path, DECODER)]
    for other in others:
        fetch_file(other, cache_dir=cache_dir, offline=offline, command=command)
    return path


def shards_of(file: HubFile, path: Path) -> list[HubFile]:
    """Return the files that an index of the cache names; none, if the file is no index.

    Raises:
        LayoutError: it is damaged, or names what is no safetensors file next to it.
    """
    if not file.filename.endswith(INDEX):
        return []
    names = sorted(set(read_names(path).values()))
    for name in names:
        if path_problem(name) or not name.endswith(".safetensors"):
            message = f"{path} names {name!r}; maezoo fetches nothing but .safetensors files by an index."
            raise LayoutError(message, path=path, expected=".safetensors", found=name)
    return [_next_to(file, path, name) for name in names]


def _next_to(file: HubFile, path: Path, name: str) -> HubFile:
    """Return a file of the same folder and commit as one that is in the cache."""
    place = PurePosixPath(file.filename)
    commit = path.parents[len(place.parts) - 1].name
    return HubFile(file.repo_id, commit, (place.parent / name).as_posix())
