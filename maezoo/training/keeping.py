"""Which checkpoints of a run are kept: the newest, and the last good one before it."""

import math
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from maezoo.errors import CheckpointError, DivergedError
from maezoo.training.checkpoint import read_checkpoint
from maezoo.training.processes.division import Division
from maezoo.training.processes.sharded import is_shared_out
from maezoo.training.watching.records import NEWEST, read_state
from maezoo.training.watching.steadiness import Steadiness

__all__ = ["Keeper", "aside", "find_checkpoint", "find_newest", "remove_left_over", "set_aside", "size_of_kept"]

_NAME, _SUFFIX = "checkpoint", ".safetensors"
_WHOLE = Division()
_ASIDE = re.compile(r"checkpoint-(\d+)(\.safetensors)?")


class Keeper:
    """Keeps the checkpoints of a run, and knows which is good.

    Args:
        folder: of the run.
        division: how steps are divided: where weights are shared out, a checkpoint is a folder. All processes have a
            keeper, and call its methods together; the first one moves files.

    Attributes:
        step: of the newest checkpoint; `None` where there is none.
        saved_at: when it was written, or the run began.
    """

    def __init__(self, folder: Path, division: Division = _WHOLE) -> None:
        self.folder, self._division = folder, division
        self.step: int | None = None
        self.saved_at = time.monotonic()
        self._steadiness, self._is_good = Steadiness(), True

    def begin(self, step: int | None, losses: list[float]) -> None:
        """Begin with a run's past: the step of its newest checkpoint, and its mean losses so far."""
        for loss in losses:
            self._steadiness.follow(loss)
        self.step, self._is_good, self.saved_at = step, not self._steadiness.spikes, time.monotonic()

    def follow(self, step: int, loss: float) -> None:
        """Take a mean loss that is reported.

        Raises:
            DivergedError: the loss rose so far that nothing of what was learned is left.
        """
        self._steadiness.follow(loss)
        if self._steadiness.is_lost:
            rose = f"from {self._steadiness.lowest:.4g} at best to {loss:.4g}"
            raise self.diverged(f"the loss rose {rose} by step {step}")

    def save(self, step: int, loss: float | None, write: Callable[[Path], None]) -> None:
        """Write a checkpoint; the last good one before it stays.

        Args:
            step: steps done; nothing is done where there is one of this step.
            loss: mean since the last report, if there was a step.
            write: writes the file, or refuses numbers that are not finite.

        Raises:
            DivergedError: the run has diverged; what was there stays.
        """
        if step == self.step:
            return
        if loss is not None and not math.isfinite(loss):
            raise self.diverged(f"the loss became {loss} by step {step}")
        good = not (self._steadiness.spikes or (loss is not None and self._steadiness.would_spike(loss)))
        written = aside(self.folder, step, "" if self._division.sharded else _SUFFIX)
        try:
            write(written)
        except DivergedError as error:
            raise self.diverged(str(error)) from error
        if self._division.processes.first:
            set_aside(written, self.step, good=self._is_good)
        self._division.processes.wait()
        self.step, self._is_good, self.saved_at = step, good, time.monotonic()

    def diverged(self, what: str) -> DivergedError:
        """Return the error of a run whose numbers are no longer finite, or whose loss rose far above its best."""
        path, kept, more = None, "no checkpoint was written yet", "."
        good = self._good()
        if good is not None:
            step, path = good
            newest = path.stem == _NAME
            kept = f"{path} keeps step {step}, the last {'finite' if newest else 'good'} one"
            more = f"; --resume-from {path} continues it there."
        says = f"{what}; {kept}. Try a lower rate or float32, in another output folder{more}"
        return DivergedError(says, path=path, reason=what)

    def _good(self) -> tuple[int, Path] | None:
        """Return the step and file of the last good checkpoint."""
        if self.step is not None and self._is_good:
            return self.step, find_newest(self.folder) or self.folder / NEWEST
        left = _asides(self.folder)
        return (max(left), left[max(left)]) if left else None


def aside(folder: Path, step: int, suffix: str = _SUFFIX) -> Path:
    """Return the name of a checkpoint that is not the newest."""
    return folder / f"{_NAME}-{step:08}{suffix}"


def find_newest(folder: Path) -> Path | None:
    """Return the checkpoint that a run resumes from, a file or a folder; `None` where there is none."""
    there = [path for path in (folder / NEWEST, folder / _NAME) if path.exists()]
    if len(there) > 1:  # the run was killed while it went from the one to the other
        return max(there, key=lambda path: read_checkpoint(path)[0])
    left = _asides(folder)
    return there[0] if there else left[max(left)] if left else None  # or while it renamed


def set_aside(written: Path, step: int | None, *, good: bool) -> None:
    """Make a checkpoint that was just written the newest one.

    Args:
        written: its file or folder, by the name of its step.
        step: of the newest one so far, if there is one.
        good: keep that one in place of the good one before it; else it is the one that goes.
    """
    folder = written.parent
    newest = [path for path in (folder / NEWEST, folder / _NAME) if path.exists()]
    keeps = good and step is not None and bool(newest)
    for path in newest:
        if keeps and step is not None:
            path.replace(aside(folder, step, path.suffix))
        elif path.is_dir() or not written.suffix:  # a file would be replaced by a file
            _remove(path)
    written.replace(folder / f"{_NAME}{written.suffix}")
    for other, path in _asides(folder).items() if keeps else ():
        if other != step:
            _remove(path)


def remove_left_over(folder: Path) -> None:
    """Delete the incomplete checkpoints that killed processes have left."""
    for path in folder.glob(f".{_NAME}-*"):
        _remove(path)


def size_of_kept(folder: Path) -> int:
    """Return the bytes that checkpoints take."""
    kept = [path for path in (folder / NEWEST, folder / _NAME, *_asides(folder).values()) if path.exists()]
    files = [file for path in kept for file in (path.iterdir() if path.is_dir() else [path])]
    return sum(file.stat().st_size for file in files)


def find_checkpoint(named: Path | int, out: Path) -> Path:
    """Return the checkpoint that a run is to continue.

    Args:
        named: a checkpoint; a run's folder, for its last good one; or a step, of a checkpoint in `out`.
        out: the folder of the run.

    Raises:
        CheckpointError: there is none.
    """
    if isinstance(named, int):
        newest = find_newest(out)
        there = {**_asides(out), **({} if newest is None else {read_checkpoint(newest)[0]: newest})}
        if named in there:
            return there[named]
        kept = f"it has {', '.join(map(str, sorted(there)))}" if there else "it has none"
        raise CheckpointError(
            f"{out} has no checkpoint of step {named}; {kept}. Name one of these steps, or a checkpoint file.",
            path=out,
            expected=tuple(sorted(there)),
            found=named,
        )
    if named.is_file() or is_shared_out(named):
        return named
    good = read_state(named).get("good") if named.is_dir() else None
    path = named / good if isinstance(good, str) and (named / good).exists() else find_newest(named)
    if path is None:
        raise CheckpointError.about(named, "is neither a checkpoint nor a folder of a run that has one.")
    return path


def _asides(folder: Path) -> dict[int, Path]:
    found = ((_ASIDE.fullmatch(path.name), path) for path in folder.glob(f"{_NAME}-*"))
    return {int(match[1]): path for match, path in found if match}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
