"""A full disk, and a read-only one, under every writer of the package. Linux, as root."""

import hashlib
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import benchmarks.reliability.writers as writers
from maezoo.errors import DiskFullError

__all__ = ["measure_disks"]

_SIZE = 192 * 2**20  # bytes of the disk; a download leaves 64 MB alone
_ROOM = (0, 4096, 65536)  # bytes that are left on it
_OPTIONAL = {"engine choices"}  # what is only remembered: without room it is not
_TEMPORARY = (".maezoo-", ".tmp")


def measure_disks(only: Sequence[str] | None) -> int:
    """Fill a disk under each writer, or those that are named; return 1 if one did not say so, or hurt a file."""
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="maezoo-disks-") as folder:
        prepared, disk = Path(folder) / "prepared", Path(folder) / "disk"
        prepared.mkdir()
        disk.mkdir()
        for name, write in writers.prepare(prepared).items():
            if only and name not in only:
                continue
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(disk)], check=True)
            try:
                problems = [*_fill_under(name, write, disk), *_forbid_under(name, write, disk)]
            finally:
                subprocess.run(["umount", "--lazy", str(disk)], check=True)
            wrong += bool(problems)
            print(
                f"{name}: {'; '.join(problems) or 'clear errors, no half file, the old files as they were'}", flush=True
            )
    return int(bool(wrong))


def _fill_under(name: str, write: Callable[[Path], object], disk: Path) -> list[str]:
    """Write on a disk with next to no room left; then with room again."""
    problems = []
    old = disk / "old"
    write(old)
    for room in _ROOM:
        before = _hashes(disk)
        filler = _filled(disk, room)
        for target in (disk / f"new{room}", old):
            error = _error_of(write, target)
            if error is None:
                if room:  # enough for this writer
                    continue
                if target != old and name not in _OPTIONAL:  # nothing to do for a result that is there
                    problems.append(f"{room} bytes left: written nevertheless")
            elif not isinstance(error, DiskFullError):
                problems.append(f"{room} bytes left: {type(error).__name__}: {str(error)[:120]}")
        filler.unlink()
        after = {path: each for path, each in _hashes(disk).items() if not path.startswith(f"new{room}")}
        problems += [f"{each} changed" for each in before if room == 0 and after.get(each) != before[each]]
        problems += _left(disk)
        write(disk / f"new{room}")
    return problems


def _forbid_under(name: str, write: Callable[[Path], object], disk: Path) -> list[str]:
    """Write on a disk that may be read only."""
    before = _hashes(disk)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    error = _error_of(write, disk / "forbidden")
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    problems = [] if _hashes(disk) == before else ["read-only: files changed"]
    if error is None:
        return problems if name in _OPTIONAL else [*problems, "read-only: no error"]
    if not isinstance(error, OSError):
        return [*problems, f"read-only: {type(error).__name__}: {str(error)[:120]}"]
    return problems if str(disk) in str(error) else [*problems, f"read-only: no path in {str(error)[:120]!r}"]


def _filled(disk: Path, room: int) -> Path:
    """Fill a disk up to so many bytes."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (2**20, 4096):
            with suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass
        file.truncate(max(0, file.tell() - room))
    return filler


def _error_of(write: Callable[[Path], object], target: Path) -> Exception | None:
    try:
        write(target)
    except Exception as error:
        return error
    return None


def _hashes(disk: Path) -> dict[str, str]:
    files = [path for path in sorted(disk.rglob("*")) if path.is_file() and path.suffix not in (".lock", ".pid")]
    return {str(path.relative_to(disk)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _left(disk: Path) -> list[str]:
    """Name temporary files that were left."""
    hidden = [path for path in disk.rglob(".*") if path.name.startswith(_TEMPORARY) or len(path.stem) > 9 + 1]
    return [f"{path.name} is left over" for path in hidden if path.name not in (".maezoo", ".locks", ".gitignore")]
