"""huggingface_hub's cache on disk: where a file is, and how it gets there complete. Other tools see the same files.

Looking a file up (`try_to_load_from_cache`) and locking it (`WeakFileLock`) are huggingface_hub's. As there, each
process writes to a temporary file of its own. Placing it is ours: `huggingface_hub` has no public function for that,
its private ones replace a link in two steps, and it does not take over what an interrupted download has left.
"""

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from maezoo.files import written_whole
from maezoo.hub.client import HubFile, RemoteFile, hub_utils
from maezoo.paths import cache_folder

__all__ = ["SPARE", "HubCache"]

SPARE = 64 * 2**20  # bytes that a download must leave free
_ABANDONED = 600.0  # seconds; a download that is alive has written something in that time, or given up


@dataclass(frozen=True)
class HubCache:
    """A cache folder in huggingface_hub's layout.

    Attributes:
        root: the folder.
    """

    root: Path

    @classmethod
    def at(cls, cache_dir: str | Path | None = None) -> "HubCache":
        """Open a cache; `HF_HUB_CACHE`, else `HF_HOME/hub`, when no folder is named.

        Raises:
            WeightsNotFoundError: that would be in the home folder, and there is none.
        """
        from huggingface_hub import constants

        return cls(cache_folder(cache_dir or constants.HF_HUB_CACHE).resolve())

    def repository(self, file: HubFile) -> Path:
        """Return the folder of a file's repository."""
        return self.root / "--".join(["models", *file.repo_id.split("/")])

    def find(self, file: HubFile) -> Path | None:
        """Return the path of a file that is in the cache; sends no request."""
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
        """Return where one call writes a file while it downloads: a path of its own, even where locks do not hold.

        Some network file systems grant a lock to everybody. What an interrupted download has left is taken over: it is
        renamed if nobody can still be writing to it, else copied.
        """
        mine = self._blob(file, remote).with_name(f"{remote.etag}.{uuid.uuid4().hex[:8]}.incomplete")
        for other in self._leftovers(file, remote):
            if other == self._left(file, remote) or not _may_be_written(other):
                with suppress(OSError):
                    other.replace(mine)
                    return mine
            with suppress(OSError):
                shutil.copyfile(other, mine)
                return mine
        return mine

    def leave(self, partial: Path, file: HubFile, remote: RemoteFile) -> None:
        """Keep the bytes of a failed download for the next one."""
        with suppress(OSError):
            if partial.stat().st_size > 0:
                partial.replace(self._left(file, remote))
            else:
                partial.unlink()

    def clear(self, file: HubFile, remote: RemoteFile) -> None:
        """Delete what interrupted downloads of a file have left, once it is here."""
        for other in self._leftovers(file, remote):
            with suppress(OSError):
                other.unlink()

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
        """Move a complete file to its place, and return that. Where links cannot be made the file itself goes there.

        If it was under its hash before, other revisions may have links to it there; then its place gets a copy.
        """
        blob, pointer = self._blob(file, remote), self._pointer(file, remote.commit)
        if whole != pointer:
            pointer.parent.mkdir(parents=True, exist_ok=True)
            if whole != blob:
                whole.replace(blob)
            if not _link(blob, pointer):
                _put(blob, pointer, keep=whole == blob)
        if file.revision != remote.commit:
            reference = self.repository(file) / "refs" / file.revision
            with written_whole(reference) as temporary:
                temporary.write_text(remote.commit, encoding="utf-8")
        return pointer

    def _blob(self, file: HubFile, remote: RemoteFile) -> Path:
        return self.repository(file) / "blobs" / remote.etag

    def _left(self, file: HubFile, remote: RemoteFile) -> Path:
        return self._blob(file, remote).with_name(f"{remote.etag}.left.incomplete")

    def _leftovers(self, file: HubFile, remote: RemoteFile) -> list[Path]:
        """List what downloads of a file have written so far, huggingface_hub's too, the longest first."""
        found = self._blob(file, remote).parent.glob(f"{remote.etag}.*incomplete")
        return sorted(found, key=_size, reverse=True)

    def _pointer(self, file: HubFile, commit: str) -> Path:
        return self.repository(file) / "snapshots" / commit / Path(*file.filename.split("/"))


def _size(path: Path) -> int:
    """Return a file's size; -1 when it has gone meanwhile."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _may_be_written(path: Path) -> bool:
    """Tell whether another process may be writing a file; the answer is no where there is no room for a copy."""
    try:
        stat = path.stat()
    except OSError:
        return True
    young = time.time() - stat.st_mtime < _ABANDONED
    return young and shutil.disk_usage(path.parent).free > stat.st_size + SPARE


def _put(blob: Path, pointer: Path, *, keep: bool) -> None:
    """Move a file to its place, or copy it there in one step."""
    if not keep:
        blob.replace(pointer)
        return
    with written_whole(pointer) as temporary:
        shutil.copyfile(blob, temporary)


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
