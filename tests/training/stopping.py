"""Ctrl-C at a step of a run."""

import signal
from collections.abc import Callable

from maezoo.training import Progress

__all__ = ["stops_at"]


def stops_at(step: int) -> Callable[[Progress], None]:
    """Return a report that presses Ctrl-C at a step."""

    def stop(progress: Progress) -> None:
        if progress.step == step:
            signal.raise_signal(signal.SIGINT)

    return stop
