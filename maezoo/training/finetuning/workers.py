"""Processes that decode for fine-tuning: they leave signals to the one that trains, and their loss is named."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from maezoo.errors import WorkerError
from maezoo.interrupts import ENDING

__all__ = ["leave_signals_to_the_parent", "worker_loss_named"]


def leave_signals_to_the_parent(number: int) -> None:
    """Ignore in a worker what ends a run, as the parent finishes its step, and leave warnings to the parent, too."""
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)
    logging.getLogger("maezoo").setLevel(logging.ERROR)


@contextmanager
def worker_loss_named() -> Iterator[None]:
    """Turn PyTorch's error about a worker that ended into one that says what may help.

    It is raised in the middle of a step, so that nothing is saved.

    Raises:
        WorkerError: a worker ended.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise WorkerError(
            f"a process that decodes images ended before its time: {str(error).strip().rstrip('.')}. Was memory short? "
            "Try fewer workers, or workers=0 (--workers). The same call resumes from the last checkpoint.",
            reason=str(error),
        ) from error
