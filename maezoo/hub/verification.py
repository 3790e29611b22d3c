"""Is a file the file that was published? It is hashed once, and again only when it may have changed.

The record of a check is kept next to the file's repository in the cache, where that can be written; else in
`HF_HOME/maezoo`, so that read-only and shared caches and installed packages are remembered too. A lost or broken record
costs one hash, no more.
"""

import hashlib
import json
import logging
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from maezoo.errors import IntegrityError, SettingError, WeightsNotFoundError
from maezoo.files import parse_json, written_whole
from maezoo.hashes import digest_of
from maezoo.paths import state_folder

__all__ = [
    "Check",
    "FileState",
    "Record",
    "check_file",
    "known_finite",
    "read_record",
    "remember_check",
    "remember_finite",
    "verify_mode",
]

_logger = logging.getLogger(__name__)
ENVIRONMENT = "MAEZOO_VERIFY"
MODES = ("always", "changed", "never")


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
        expected: what the hash should have been; `None` where that was not known.
        checked_at: seconds since 1970.
    """

    path: str
    state: FileState
    found: str
    expected: str | None
    checked_at: float


@dataclass(frozen=True)
class Check:
    """The outcome of comparing a file with what was published.

    Attributes:
        path: the file.
        expected: the hash it should have; `None` where that is not known.
        published: whether that is the published hash; else it is the one that the file had when it was first seen.
        found: its hash; `None` when its size alone was wrong, or nothing was read.
        size: bytes found.
        expected_size: bytes published.
        checked_at: when it was hashed, in seconds since 1970; `None` for never.
    """

    path: Path
    expected: str | None
    found: str | None
    size: int
    expected_size: int | None = None
    checked_at: float | None = None
    published: bool = False

    @property
    def fine(self) -> bool:
        """Whether size and hash are as expected, as far as these are known."""
        size_fine = self.expected_size is None or self.size == self.expected_size
        return size_fine and (self.expected is None or self.found in (None, self.expected))

    def problem(self) -> str:
        """Say what is wrong."""
        if self.expected_size is not None and self.size != self.expected_size:
            return f"{self.path} has {self.size:,} bytes, expected {self.expected_size:,}"
        return f"{self.path} has the hash {self.found}, expected {self.expected}"

    def require(self, fix: str, command: str | None = None) -> None:
        """Raise `IntegrityError` unless the file is fine; `fix` says what helps, and `command` what to type."""
        if not self.fine:
            size_wrong = self.expected_size is not None and self.size != self.expected_size
            expected, found = (self.expected_size, self.size) if size_wrong else (self.expected, self.found)
            message = f"{self.problem()}. {fix}"
            raise IntegrityError(message, path=self.path, expected=expected, found=found, command=command)


def verify_mode() -> str:
    """Return when cached files are hashed: `MAEZOO_VERIFY`, by default `changed`.

    Raises:
        SettingError: it is set to anything else than always, changed, never.

    Example:
        >>> verify_mode()
        'changed'
    """
    mode = os.environ.get(ENVIRONMENT, "").strip().lower() or "changed"
    if mode not in MODES:
        message = f"{ENVIRONMENT} must be one of {', '.join(MODES)}, not {mode!r}."
        raise SettingError(message, expected=MODES, found=mode)
    return mode


def check_file(
    path: Path,
    *,
    expected: str | None,
    expected_size: int | None = None,
    record_at: Path | None = None,
    mode: str | None = None,
) -> Check:
    """Compare a file with what was published, and remember the outcome.

    Args:
        path: the file.
        expected: its published hash, sha256 or git's sha1; with `None` the file is compared with what it was when it
            was first seen.
        expected_size: its published size.
        record_at: where the record of the check is kept, if that can be written.
        mode: `always` hashes, `changed` only if the file's state differs from the last check's, `never` does not; what
            `MAEZOO_VERIFY` says when `None`.
    """
    mode = mode or verify_mode()
    state = FileState.of(path)
    if mode == "never":
        return Check(path, expected, None, state.size)
    last = read_record(path, record_at)
    published = expected or (last.expected if last is not None else None)
    known = published or (last.found if last is not None else None)
    found: str | None = None
    checked_at: float | None = None
    if expected_size in (None, state.size):
        if mode == "changed" and last is not None and last.state == state and last.found == known:
            found, checked_at = last.found, last.checked_at
        else:
            found, checked_at = digest_of(path, like=known or ""), time.time()
            if known in (found, None):
                remember_check(path, state, found, published, record_at)
    return Check(path, known, found, state.size, expected_size, checked_at, published is not None)


def read_record(path: Path, record_at: Path | None = None) -> Record | None:
    """Return the newest readable record of a file.

    Args:
        path: of the file.
        record_at: where its record is kept when its cache can be written.
    """
    found = [record for place in _places(path, record_at) if (record := _read(place)) is not None]
    return max(found, key=lambda record: record.checked_at, default=None)


def remember_check(path: Path, state: FileState, found: str, expected: str | None, record_at: Path | None) -> None:
    """Keep the record of a check for the next `check_file`, in the first place that can be written."""
    record = Record(str(path), state, found, expected, time.time())
    for place in _places(path, record_at):
        with suppress(OSError), written_whole(place) as temporary:
            temporary.write_text(json.dumps(asdict(record), indent=1), encoding="utf-8")
            return
    _logger.info("the check of %s cannot be remembered: neither its cache nor HF_HOME can be written", path)


def known_finite(path: Path, part: str) -> bool:
    """Whether a part (`"all"`, `"encoder"`) of an unchanged file was found to be free of NaN and infinity before."""
    if path.suffix == ".json":  # an index that is unchanged says nothing of the files that it names
        return False
    for place in dict.fromkeys(("all", part)):
        with suppress(OSError, ValueError):
            if parse_json(_finite(path, place).read_text(encoding="utf-8")) == asdict(FileState.of(path)):
                return True
    return False


def remember_finite(path: Path, part: str) -> None:
    """Remember that a part of a file is free of NaN and infinity, if that can be written anywhere."""
    if path.suffix == ".json":
        return
    with suppress(OSError), written_whole(_finite(path, part)) as temporary:
        temporary.write_text(json.dumps(asdict(FileState.of(path))), encoding="utf-8")


def _finite(path: Path, part: str) -> Path:
    return state_folder() / "finite" / part / _name(path)


def _name(path: Path) -> str:
    """Return the name of a file's record."""
    return f"{hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:32]}.json"


def _places(path: Path, record_at: Path | None) -> list[Path]:
    """List where a record may lie."""
    places = [] if record_at is None else [record_at]
    with suppress(WeightsNotFoundError):
        places.append(state_folder() / "verified" / _name(path))
    return places


def _read(place: Path) -> Record | None:
    """Read a record; `None` when there is none or it is broken."""
    try:
        data = parse_json(place.read_text(encoding="utf-8"))
        record = Record(**{**data, "state": FileState(**data["state"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    hashes = isinstance(record.found, str) and isinstance(record.expected, str | None)
    return record if hashes and isinstance(record.checked_at, int | float) else None
