"""Is a file the file that was published? Hashed once, and again only when it may have changed."""

import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

from maezoo.errors import IntegrityError, SettingError
from maezoo.files import digest_of
from maezoo.hub.records import FileState, Record, read_record, write_record

__all__ = ["Check", "check_file", "remember_check", "verify_mode"]

_logger = logging.getLogger(__name__)
ENVIRONMENT = "MAEZOO_VERIFY"
MODES = ("always", "changed", "never")


@dataclass(frozen=True)
class Check:
    """The outcome of comparing a file with what was published.

    Attributes:
        path: the file.
        expected: the hash it should have; `None` when nobody could say.
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
        """Whether nothing speaks against the file."""
        size_fine = self.expected_size is None or self.size == self.expected_size
        return size_fine and (self.expected is None or self.found in (None, self.expected))

    def problem(self) -> str:
        """Say what is wrong."""
        if self.expected_size is not None and self.size != self.expected_size:
            return f"{self.path} has {self.size:,} bytes, expected {self.expected_size:,}"
        return f"{self.path} has the hash {self.found}, expected {self.expected}"

    def require(self, mend: str) -> None:
        """Raise `IntegrityError` unless the file is fine; `mend` says what helps."""
        if not self.fine:
            raise IntegrityError(f"{self.problem()}. {mend}")


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
        raise SettingError(f"{ENVIRONMENT} must be one of {', '.join(MODES)}, not {mode!r}.")
    return mode


def check_file(
    path: Path,
    *,
    expected: str | None,
    expected_size: int | None = None,
    beside: Path | None = None,
    mode: str | None = None,
) -> Check:
    """Compare a file with what was published, and remember the outcome.

    Args:
        path: the file.
        expected: its published hash, sha256 or git's sha1; with `None` the file is compared with what it was when it
            was first seen.
        expected_size: its published size.
        beside: where the record of the check lies if that can be written.
        mode: `always` hashes, `changed` only if the file's state differs from the last check's, `never` does not; what
            `MAEZOO_VERIFY` says when `None`.
    """
    mode = mode or verify_mode()
    state = FileState.of(path)
    if mode == "never":
        return Check(path, expected, None, state.size)
    last = read_record(path, beside)
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
                remember_check(path, state, found, published, beside)
    return Check(path, known, found, state.size, expected_size, checked_at, published is not None)


def remember_check(path: Path, state: FileState, found: str, expected: str | None, beside: Path | None) -> None:
    """Keep the record of a check for the next `check_file`; see there for the arguments."""
    if not write_record(Record(str(path), state, found, expected, time.time()), beside):
        _logger.info("the check of %s cannot be remembered: neither its cache nor HF_HOME can be written", path)
