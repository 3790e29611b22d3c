"""Files that appear complete or not at all, whose errors say which file it was."""

import errno
import json
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from safetensors import SafetensorError

from maezoo.errors import ArgumentError, DiskFullError, MaezooError
from maezoo.paths import user_path

__all__ = [
    "errors_named",
    "is_stream",
    "parse_json",
    "picture_format",
    "remove_left_over",
    "written_whole",
]

_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d+)|/dev/(stdout)|/dev/(stderr)")


def is_stream(path: Path) -> bool:
    """Whether a path is a pipe, a device or standard output: nothing that keeps what is written to it.

    Example:
        >>> is_stream(Path("/dev/stdout")), is_stream(Path("picture.png"))
        (True, False)
    """
    if _DESCRIPTOR.fullmatch(str(path)):
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path next to `path` to write to; rename it when the block succeeds, else remove it.

    A link stays a link, and the file that it leads to is replaced; a file that is replaced keeps its mode. What is
    written to a pipe or device is sent there once it is complete.

    Args:
        path: the file to make or replace. Its folder is made when missing.

    Raises:
        DiskFullError: no room for it.
        OSError: it cannot be written; the message names `path`.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with written_whole(target) as temporary:
        ...     _ = temporary.write_text("all of it")
        >>> target.read_text()
        'all of it'
    """
    path = user_path(path)
    if is_stream(path):
        with errors_named(path), tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder) / f"stream{path.suffix}"
            yield temporary
            with temporary.open("rb") as written, _open_stream(path) as stream:
                shutil.copyfileobj(written, stream)
        return
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    if not target.name:  # `.` and `/`
        raise _is_folder(path)
    name = f"{_start_of(target)}{secrets.token_hex(4)}{target.suffix[:32]}"
    with errors_named(path, target.with_name(name)) as temporary:
        mode = _mode_of(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode | 0o600))
        try:
            if mode is None:
                mode = stat.S_IMODE(temporary.stat().st_mode)  # what the umask leaves
            yield temporary
            if stat.S_IMODE(temporary.stat().st_mode) != mode:  # some libraries replace the file by a private one
                temporary.chmod(mode)
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def remove_left_over(path: Path, older_than: float = 0.0) -> None:
    """Delete the temporary files that killed processes have left next to a file.

    Args:
        path: the file that they were writing.
        older_than: seconds since their last change; younger ones stay. 0 only where no other process can be writing
            to the folder.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "note.txt"
        >>> _ = target.with_name(".note-0123abcd.txt").write_text("half of")
        >>> remove_left_over(target)
        >>> list(target.parent.iterdir())
        []
    """
    temporary = re.compile(rf"{re.escape(_start_of(path))}[0-9a-f]{{8}}{re.escape(path.suffix[:32])}")
    if path.suffix == ".safetensors" and not older_than:  # safetensors has temporary files of its own
        temporary = re.compile(rf"{temporary.pattern}|\.tmp[0-9A-Za-z]{{6}}")
    with suppress(OSError):
        for other in path.parent.iterdir():
            with suppress(OSError):  # another process may delete it, too
                if temporary.fullmatch(other.name) and time.time() - other.stat().st_mtime >= older_than:
                    other.unlink()


def _start_of(path: Path) -> str:
    """Return how the names of a file's temporary files begin; short, as file systems bound names."""
    return f".{path.stem[:32]}-"


@contextmanager
def errors_named(path: Path, temporary: Path | None = None) -> Iterator[Path]:
    """Let errors of writing in the block say which file it was, whatever library raises them.

    Args:
        path: the file that is written.
        temporary: what is written in its place; given to the block, and not named in errors.

    Raises:
        DiskFullError: no room for it.
        OSError: another failure to write.
    """
    try:
        yield temporary or path
    except MaezooError:
        raise
    except OSError as error:
        if error.filename not in (None, str(temporary)):
            raise
        raise _naming(path, error.errno, error.strerror or str(error)) from error
    except SafetensorError as error:  # no OSError, and its number is only in its words
        number = re.search(r"os error (\d+)|Os \{ code: (\d+)", str(error))  # the second: safetensors 0.5
        raise _naming(path, int(number[1] or number[2]) if number else None, str(error)) from error


def parse_json(text: str | bytes) -> Any:
    """Parse JSON of unknown origin; JSON that is nested too deeply is a `ValueError`, like every other fault.

    Raises:
        ValueError: it is no JSON.

    Example:
        >>> parse_json('{"rows": 2}')
        {'rows': 2}
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def picture_format(path: Path) -> str:
    """Return Pillow's name of the format that a suffix stands for; PNG for a pipe or device that has none.

    Raises:
        ArgumentError: a suffix that Pillow writes no format for.

    Example:
        >>> picture_format(Path("strip.jpg"))
        'JPEG'
    """
    from PIL import Image

    formats = Image.registered_extensions()
    suffix = path.suffix.lower() or (".png" if is_stream(path) else "")
    if formats.get(suffix) not in Image.SAVE:
        raise ArgumentError(f"{path}: no picture is written with the suffix {suffix!r}; take .png, .jpg or .webp.")
    return formats[suffix]


def _naming(path: Path, code: int | None, reason: str) -> OSError:
    """Return the error for a file that cannot be written."""
    if code is None:
        return OSError(f"{path} cannot be written: {reason}")
    if code not in _FULL:
        return OSError(code, reason, str(path))
    reason = os.strerror(code)
    return DiskFullError(
        f"{path} cannot be written: {reason}. Make room, or name another place.", path=path, reason=reason
    )


def _mode_of(path: Path) -> int | None:
    """Return the permissions of a file that is to be replaced; `None` when there is none."""
    try:
        found = path.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found):
        raise _is_folder(path)
    return stat.S_IMODE(found)


def _is_folder(path: Path) -> IsADirectoryError:
    """Return the error for a folder that was named as a file to write."""
    return IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def _open_stream(path: Path) -> IO[bytes]:
    """Open a pipe or device; the process's own streams as they stand, not truncated."""
    own = _DESCRIPTOR.fullmatch(str(path))
    if own is None:
        return path.open("wb")
    if sys.stdout is not None:
        sys.stdout.flush()
    return os.fdopen(os.dup(int(own[1] or (1 if own[2] else 2))), "wb")
