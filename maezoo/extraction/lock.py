"""One run at a time on one output: a lock that the operating system drops when its process ends, however it ends."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from maezoo.errors import DataError

__all__ = ["exclusive"]

_log = logging.getLogger(__name__)


@contextmanager
def exclusive(path: Path, output: str | Path) -> Iterator[None]:
    """Hold a lock file while the block runs.

    Worker processes must not inherit the file: they are spawned, which closes it in them.

    Args:
        path: the lock file.
        output: what it guards, for messages.

    Raises:
        DataError: another process holds it; the message has its number.

    Example:
        >>> import tempfile
        >>> with exclusive(Path(tempfile.mkdtemp()) / "lock", "features"):
        ...     pass
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="ascii") as file:
        try:
            _lock(file)
        except (BlockingIOError, PermissionError) as error:
            holder = _holder(path)
            raise DataError(
                f"another run is writing to {output}{holder}. Wait for it, stop it, or name another output."
            ) from error
        except OSError as error:
            _log.warning("%s: this file system has no locks (%s); see that only one run writes here.", path, error)
        with suppress(OSError):  # a full disk will be told of by the first file that matters
            path.with_suffix(".pid").write_text(str(os.getpid()), encoding="ascii")
        yield


def _holder(path: Path) -> str:
    """Name the process that holds the lock, if it said so."""
    try:
        return f" (process {path.with_suffix('.pid').read_text(encoding='ascii')})"
    except OSError:
        return ""


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[str]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: IO[str]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
