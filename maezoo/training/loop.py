"""The loop of every training run: from the first step or a checkpoint to the last step."""

import os
from collections.abc import Callable
from contextlib import suppress

from maezoo.errors import ArgumentError, DataError, DiskFullError, DivergedError
from maezoo.interrupts import Interrupts
from maezoo.progress import track
from maezoo.training.run import Run
from maezoo.training.task import Progress

__all__ = ["train"]


def train(
    run: Run,
    *,
    report: Callable[[Progress], None] | None = None,
    report_every: int = 50,
    checkpoint_seconds: float = 300,
    progress: bool = False,
    after_step: Callable[[int], None] | None = None,
) -> None:
    """Resume a run from its checkpoint, or begin it, and train to its last step.

    Args:
        run: what is trained, and where it is kept.
        report: called with the run's progress every `report_every` steps.
        report_every: steps between reports.
        checkpoint_seconds: seconds between checkpoints.
        progress: show a bar.
        after_step: called with the number of steps done, after each step and once before the first.

    Raises:
        ArgumentError: `report_every` is less than 1.
        CheckpointError: the checkpoint is damaged or belongs to another run.
        DiskFullError: no room for a checkpoint; said before the first step, too.
        DivergedError: the loss or a weight is no longer finite; the last finite checkpoint stays.
        OSError, DataError: an image cannot be read for now, or none can; a checkpoint was written.
        KeyboardInterrupt: at Ctrl-C, once the running step is done and a checkpoint written; at a second, at once.
    """
    if report_every < 1:
        raise ArgumentError(f"report_every={report_every} is out of range; pass 1 or more steps.", found=report_every)
    start = done = run.resume()
    if start < run.schedule.steps:
        run.check_room()
    shared = run.processes.size > 1
    launched = shared or "TORCHELASTIC_RUN_ID" in os.environ
    interrupts, came = Interrupts(patient=launched), False  # launchers pass on the Ctrl-C that a terminal sent already
    bar = track(run.schedule.steps, "steps", show=progress and run.processes.first)
    with bar as advance, interrupts.caught(), interrupts.held_back():  # a step that is cut short cannot be resumed
        advance(start)
        if after_step:
            after_step(start)
        try:
            for step, loss in run.steps(start):
                done = step + 1
                advance(1)
                run.log(done, loss, report, report_every)
                if after_step and not interrupts.came:
                    after_step(done)
                came, due = run.processes.any(interrupts.came, run.seconds_since_save() > checkpoint_seconds)
                if came or due:
                    run.save(done)
                if came:
                    break
        except (OSError, DataError) as error:  # of an image or a probe, between steps: what was learned is kept
            if done > start and not shared and not isinstance(error, DiskFullError):
                with suppress(OSError, DivergedError):
                    run.save(done)
            raise
    if came or (interrupts.came and not shared):
        raise KeyboardInterrupt
    if done > start:
        run.save(done)
