"""Which checkpoints of a run are kept: the newest, and the last good one before it."""

import re
from pathlib import Path

from maezoo.errors import CheckpointError
from maezoo.training.checkpoint import read_checkpoint
from maezoo.training.watching.records import NEWEST, read_state

__all__ = ["aside", "find_checkpoint", "find_good", "find_newest", "set_aside", "size_of_kept"]

_ASIDE = re.compile(r"checkpoint-(\d+)\.safetensors")


def aside(folder: Path, step: int) -> Path:
    """Return the name of a checkpoint that is not the newest."""
    return folder / f"checkpoint-{step:08}.safetensors"


def find_newest(folder: Path) -> Path | None:
    """Return the checkpoint that a run resumes from; `None` where there is none."""
    if (folder / NEWEST).exists():
        return folder / NEWEST
    left = _asides(folder)  # the run was killed while it renamed
    return left[max(left)] if left else None


def find_good(folder: Path, step: int | None, *, newest: bool) -> tuple[int, Path] | None:
    """Return the step and file of the last good checkpoint.

    Args:
        folder: of the run.
        step: of the newest checkpoint, if there is one.
        newest: it is a good one; else the one before it is.
    """
    if step is not None and newest:
        return step, folder / NEWEST
    left = _asides(folder)
    return (max(left), left[max(left)]) if left else None


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
