"""huggingface_hub's cache on disk: where a file lies, and how it gets there whole. Other tools see the same files."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from maezoo.files import user_path, written_whole
from maezoo.weights.client import HubFile, RemoteFile, hub_utils

__all__ = ["HubCache"]


@dataclass(frozen=True)
class HubCache:
    """A cache folder in huggingface_hub's layout.

    Attributes:
        root: the folder.
    """

    root: Path

    @classmethod
    def at(cls, cache_dir: str | Path | None = None) -> "HubCache":
        """Open a cache; `HF_HUB_CACHE`, else `HF_HOME/hub`, when no folder is named."""
        from huggingface_hub import constants

        return cls(user_path(cache_dir or constants.HF_HUB_CACHE).resolve())

    def repository(self, file: HubFile) -> Path:
        """Return the folder of a file's repository."""
        return self.root / "--".join(["models", *file.repo_id.split("/")])

    def find(self, file: HubFile) -> Path | None:
        """Return the path of a file that is in the cache; asks nobody."""
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(file.repo_id, file.filename, cache_dir=self.root, revision=file.revision)
        return Path(found) if isinstance(found, str) else None

    def expected_path(self, file: HubFile) -> Path:
        """Return the path that a file has, or would have if its revision is a commit."""
        return self.find(file) or self._pointer(file, file.revision)

    def record(self, file: HubFile) -> Path:
        """Return where the last check of a file is remembered."""
        return (
            self.repository(file) / ".maezoo" / quote(file.revision, safe="") / f"{quote(file.filename, safe='')}.json"
        )

    def partial(self, file: HubFile, remote: RemoteFile) -> Path:
        """Return where a file is written to while it comes."""
        return self._blob(file, remote).with_name(f"{remote.etag}.incomplete")

    def blob(self, file: HubFile, remote: RemoteFile) -> Path | None:
        """Return the file under its hash, if it is there: the same file of another revision, or without a pointer."""
        path = self._blob(file, remote)
        return path if path.is_file() else None

    def known_hash(self, path: Path) -> str | None:
        """Return the hash that the hub had given for a file in the cache: where links are used, they end in it."""
        if not path.is_symlink():
            return None
        name = path.readlink().name
        return name if len(name) in (40, 64) and set(name) <= set("0123456789abcdef") else None

    @contextmanager
    def lock(self, file: HubFile, remote: RemoteFile) -> Iterator[None]:
        """Hold the lock under which huggingface_hub, too, fetches this file."""
        path = self.root / ".locks" / self.repository(file).name / f"{remote.etag}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._blob(file, remote).parent.mkdir(parents=True, exist_ok=True)
        with hub_utils().WeakFileLock(path):
            yield

    def place(self, whole: Path, file: HubFile, remote: RemoteFile) -> Path:
        """Move a whole file to its place, and return that. Where links cannot be made the file itself goes there."""
        blob, pointer = self._blob(file, remote), self._pointer(file, remote.commit)
        if whole != pointer:
            pointer.parent.mkdir(parents=True, exist_ok=True)
            if whole != blob:
                whole.replace(blob)
            if not _link(blob, pointer):
                blob.replace(pointer)
        if file.revision != remote.commit:
            reference = self.repository(file) / "refs" / file.revision
            with written_whole(reference) as temporary:
                temporary.write_text(remote.commit, encoding="utf-8")
        return pointer

    def _blob(self, file: HubFile, remote: RemoteFile) -> Path:
        return self.repository(file) / "blobs" / remote.etag

    def _pointer(self, file: HubFile, commit: str) -> Path:
        return self.repository(file) / "snapshots" / commit / Path(*file.filename.split("/"))


def _link(blob: Path, pointer: Path) -> bool:
    """Make `pointer` a relative link to `blob`, in one step; say whether that can be done here."""
    if os.environ.get("HF_HUB_DISABLE_SYMLINKS", "").upper() in ("1", "ON", "YES", "TRUE"):
        return False
    temporary = pointer.with_name(f".{uuid.uuid4().hex}")
    try:
        temporary.symlink_to(os.path.relpath(blob, pointer.parent))
        temporary.replace(pointer)
    except (OSError, NotImplementedError):  # Windows without the developer mode, some network file systems
        with suppress(OSError):
            temporary.unlink()
        return False
    return True
