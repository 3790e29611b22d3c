"""Ctrl-C in a run: it ends what waits at once, and what writes when that is written."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interrupts"]


class Interrupts:
    """Catches the first Ctrl-C; the second one is as usual.

    Attributes:
        came: it was caught.

    Example:
        >>> interrupts = Interrupts()
        >>> with interrupts.caught():
        ...     with interrupts.held_back():
        ...         signal.raise_signal(signal.SIGINT)
        ...         print("this is written first")
        ...     print("never reached")
        this is written first
        >>> interrupts.came
        True
    """

    def __init__(self) -> None:
        self.came = False
        self._held_back = False

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Let Ctrl-C end the block, and no more than the block. Only the main thread is told of signals."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.getsignal(signal.SIGINT)

        def catch(number: int, frame: FrameType | None) -> None:
            self.came = True
            signal.signal(signal.SIGINT, before)
            if not self._held_back:
                raise KeyboardInterrupt

        if before is not signal.SIG_IGN:  # as in a shell's background jobs
            signal.signal(signal.SIGINT, catch)
        try:
            yield
        except KeyboardInterrupt:
            if not self.came:
                raise
        finally:
            signal.signal(signal.SIGINT, before)

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Let Ctrl-C wait until the block is through."""
        self._held_back = True
        try:
            yield
        finally:
            self._held_back = False
        if self.came:
            raise KeyboardInterrupt
