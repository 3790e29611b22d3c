"""Ctrl-C between steps: a step that is cut in the middle would leave weights that no checkpoint may hold."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["interrupts_held_back"]


@contextmanager
def interrupts_held_back() -> Iterator[Callable[[], bool]]:
    """Hold Ctrl-C back and give a function that says whether it came; the second one raises at once.

    Python lets only the main thread handle signals: in another thread nothing is held back.

    Example:
        >>> with interrupts_held_back() as interrupted:
        ...     signal.raise_signal(signal.SIGINT)
        ...     interrupted()
        True
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        if came:
            raise KeyboardInterrupt
        came = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: came
    finally:
        signal.signal(signal.SIGINT, before)
