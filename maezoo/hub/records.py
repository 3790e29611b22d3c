"""What is remembered of checked files, so that an unchanged file is hashed once and not at every load.

A record lies beside the file's repository in the cache, where that can be written; else in `HF_HOME/maezoo`, so that
read-only and shared caches and installed packages are remembered too. A lost or broken record costs one hash, no more.
"""

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from maezoo.errors import WeightsNotFoundError
from maezoo.files import written_whole
from maezoo.paths import state_folder

__all__ = [
    "FileState",
    "Record",
    "known_finite",
    "read_record",
    "remember_finite",
    "write_record",
]


@dataclass(frozen=True)
class FileState:
    """What a file system says of a file; another state means that the file may have changed."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> "FileState":
        """Read the state of a file, through links."""
        stat = path.stat()
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


@dataclass(frozen=True)
class Record:
    """The last check of a file.

    Attributes:
        path: of the file.
        state: of the file when it was hashed.
        found: its hash.
        expected: what the hash should have been; `None` when nobody could say.
        checked_at: seconds since 1970.
    """

    path: str
    state: FileState
    found: str
    expected: str | None
    checked_at: float


def read_record(path: Path, beside: Path | None = None) -> Record | None:
    """Return the newest readable record of a file.

    Args:
        path: of the file.
        beside: where its record lies when its cache can be written.
    """
    found = [record for place in _places(path, beside) if (record := _read(place)) is not None]
    return max(found, key=lambda record: record.checked_at, default=None)


def write_record(record: Record, beside: Path | None = None) -> bool:
    """Keep a record in the first place that can be written; return whether there is one."""
    text = json.dumps(asdict(record), indent=1)
    for place in _places(Path(record.path), beside):
        with suppress(OSError), written_whole(place) as temporary:
            temporary.write_text(text, encoding="utf-8")
            return True
    return False


def known_finite(path: Path, part: str) -> bool:
    """Whether a part (`"all"`, `"encoder"`) of an unchanged file was found to be free of NaN and infinity before."""
    try:
        return bool(json.loads(_finite(path, part).read_text(encoding="utf-8")) == asdict(FileState.of(path)))
    except (OSError, ValueError):
        return False


def remember_finite(path: Path, part: str) -> None:
    """Keep in mind that a part of a file is free of NaN and infinity, if that can be written anywhere."""
    with suppress(OSError), written_whole(_finite(path, part)) as temporary:
        temporary.write_text(json.dumps(asdict(FileState.of(path))), encoding="utf-8")


def _finite(path: Path, part: str) -> Path:
    return state_folder() / "finite" / part / _name(path)


def _name(path: Path) -> str:
    """Return the name of a file's record."""
    return f"{hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:32]}.json"


def _places(path: Path, beside: Path | None) -> list[Path]:
    """List where a record may lie."""
    places = [] if beside is None else [beside]
    with suppress(WeightsNotFoundError):
        places.append(state_folder() / "verified" / _name(path))
    return places


def _read(place: Path) -> Record | None:
    """Read a record; `None` when there is none or it is broken."""
    try:
        data = json.loads(place.read_text(encoding="utf-8"))
        return Record(**{**data, "state": FileState(**data["state"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
