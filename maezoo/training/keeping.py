"""Which checkpoints of a run are kept: the newest, and the last good one before it."""

import math
import re
import time
from collections.abc import Callable
from pathlib import Path

from maezoo.errors import CheckpointError, DivergedError
from maezoo.training.checkpoint import read_checkpoint
from maezoo.training.watching.records import NEWEST, read_state
from maezoo.training.watching.steadiness import Steadiness

__all__ = ["Keeper", "aside", "find_checkpoint", "find_newest", "set_aside", "size_of_kept"]

_ASIDE = re.compile(r"checkpoint-(\d+)\.safetensors")


class Keeper:
    """Keeps the checkpoints of a run, and knows which is good.

    Args:
        folder: of the run.

    Attributes:
        step: of the newest checkpoint; `None` where there is none.
        saved_at: when it was written, or the run began.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.step: int | None = None
        self.saved_at = time.monotonic()
        self._steadiness, self._is_good = Steadiness(), True

    def begin(self, step: int | None, losses: list[float]) -> None:
        """Take what is there of a run: the step of its newest checkpoint, and its mean losses so far."""
        for loss in losses:
            self._steadiness.follow(loss)
        self.step, self._is_good, self.saved_at = step, not self._steadiness.spikes, time.monotonic()

    def follow(self, step: int, loss: float) -> None:
        """Take a mean loss that is reported.

        Raises:
            DivergedError: nothing is left of what was learned.
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
        written = aside(self.folder, step)
        try:
            write(written)
        except DivergedError as error:
            raise self.diverged(str(error)) from error
        set_aside(written, self.step, good=self._is_good)
        self.step, self._is_good, self.saved_at = step, good, time.monotonic()

    def diverged(self, what: str) -> DivergedError:
        """Return the error of a run whose numbers are no longer finite, or have left what was learned."""
        path, kept, more = None, "no checkpoint was written yet", "."
        good = self._good()
        if good is not None:
            step, path = good
            kept = f"{path} keeps step {step}, the last {'finite' if path.name == NEWEST else 'good'} one"
            more = f"; --resume-from {path} continues it there."
        says = f"{what}; {kept}. Try a lower rate or float32, in another output folder{more}"
        return DivergedError(says, path=path, reason=what)

    def _good(self) -> tuple[int, Path] | None:
        """Return the step and file of the last good checkpoint."""
        if self.step is not None and self._is_good:
            return self.step, self.folder / NEWEST
        left = _asides(self.folder)
        return (max(left), left[max(left)]) if left else None


def aside(folder: Path, step: int) -> Path:
    """Return the name of a checkpoint that is not the newest."""
    return folder / f"checkpoint-{step:08}.safetensors"


def find_newest(folder: Path) -> Path | None:
    """Return the checkpoint that a run resumes from; `None` where there is none."""
    if (folder / NEWEST).exists():
        return folder / NEWEST
    left = _asides(folder)  # the run was killed while it renamed
    return left[max(left)] if left else None


def set_aside(written: Path, step: int | None, *, good: bool) -> None:
    """Make a checkpoint that was just written the newest one.

    Args:
        written: its file, by the name of its step.
        step: of the newest one so far, if there is one.
        good: keep that one in place of the good one before it; else it is the one that goes.
    """
    folder = written.parent
    newest = folder / NEWEST
    keeps = good and step is not None and newest.exists()
    if keeps and step is not None:
        newest.replace(aside(folder, step))
    written.replace(newest)
    if keeps:
        for other, path in _asides(folder).items():
            if other != step:
                path.unlink(missing_ok=True)


def size_of_kept(folder: Path) -> int:
    """Return the bytes that checkpoints take."""
    return sum(path.stat().st_size for path in (folder / NEWEST, *_asides(folder).values()) if path.exists())


def find_checkpoint(named: Path | int, out: Path) -> Path:
    """Return the checkpoint that a run is to continue.

    Args:
        named: a checkpoint; a run's folder, for its last good one; or a step, of a checkpoint in `out`.
        out: the folder of the run.

    Raises:
        CheckpointError: there is none.
    """
    if isinstance(named, int):
        there = {**_asides(out), **{read_checkpoint(path)[0]: path for path in [out / NEWEST] if path.exists()}}
        if named in there:
            return there[named]
        kept = f"it has {', '.join(map(str, sorted(there)))}" if there else "it has none"
        raise CheckpointError(
            f"{out} has no checkpoint of step {named}; {kept}. Name one of these steps, or a checkpoint file.",
            path=out,
            expected=tuple(sorted(there)),
            found=named,
        )
    if named.is_file():
        return named
    good = read_state(named).get("good") if named.is_dir() else None
    path = named / good if isinstance(good, str) and (named / good).is_file() else find_newest(named)
    if path is None:
        raise CheckpointError.about(named, "is neither a checkpoint nor a folder of a run that has one.")
    return path


def _asides(folder: Path) -> dict[int, Path]:
    found = ((_ASIDE.fullmatch(path.name), path) for path in folder.glob("checkpoint-*.safetensors"))
    return {int(match[1]): path for match, path in found if match}
