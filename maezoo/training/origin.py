"""Where a run starts: from its task, from its own checkpoint, or from another run's that it continues."""

import hashlib
from pathlib import Path
from typing import Any

from maezoo.errors import CheckpointError
from maezoo.hashes import sha256_of
from maezoo.training.checkpoint import State, read_checkpoint, take_over
from maezoo.training.keeping import find_checkpoint
from maezoo.training.watching.records import read_state

__all__ = ["Origin"]

_ORIGIN = "resumed_from"  # in the facts: the sha256, or the step, of the checkpoint that the run continues
_RUN = "resumed_from_run"  # its id, where it was named by its folder


class Origin:
    """The checkpoint that a run continues with other numbers.

    Args:
        named: a checkpoint of another run, its folder, or a step of a checkpoint in `out`; `None` for none.
        out: the folder of the run.
    """

    def __init__(self, named: Path | int | None, out: Path) -> None:
        self.named, self.out = named, out

    def facts(self, facts: dict[str, Any], newest: Path | None) -> dict[str, Any]:
        """Return what decides a run's result, with what it continues.

        Args:
            facts: the task's.
            newest: checkpoint in `out`, if there is one. Where it continues the named run already, it does not matter
                that this one has moved on since.

        Raises:
            CheckpointError: what is named is not there.
        """
        if self.named is None:
            return facts
        if isinstance(self.named, int):
            return {**facts, _ORIGIN: self.named}
        saved = {} if newest is None else read_checkpoint(newest)[1]
        path = find_checkpoint(self.named, self.out)
        run = None if path == self.named else read_state(self.named).get("id")
        if run is None or (newest is not None and saved.get(_RUN) != run):
            return {**facts, _ORIGIN: _sha256_of(path)}
        return {**facts, _ORIGIN: saved[_ORIGIN] if saved else _sha256_of(path), _RUN: run}

    def leaves(self, newest: Path) -> bool:
        """Tell whether the run is to leave its newest checkpoint for an earlier one, and has not done so yet."""
        return isinstance(self.named, int) and read_checkpoint(newest)[1].get(_ORIGIN) != self.named

    def load(self, state: State, *, facts: dict[str, Any], steps: int) -> int:
        """Load it, in place.

        Returns:
            The number of steps done, in batches of the run.

        Raises:
            CheckpointError: it is damaged, of another shape, or has done all steps of the run.
        """
        if self.named is None:
            return 0
        path = find_checkpoint(self.named, self.out)
        done = take_over(path, state, facts=facts)
        if done >= steps:
            raise CheckpointError(
                f"{path} has done {done:,} steps, and the run takes {steps:,}. Show it more images.",
                path=path,
                expected=steps,
                found=done,
            )
        return done


def _sha256_of(path: Path) -> str:
    """Return the hash of a checkpoint: of a folder, that of its files' hashes."""
    if path.is_file():
        return sha256_of(path)
    hashes = [sha256_of(file) for file in sorted(path.iterdir()) if file.is_file()]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()
