"""Ctrl-C in a long run: waiting ends at once, writing and computing when the step in progress is done."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interrupts"]


class Interrupts:
    """Catches the first Ctrl-C; a second one raises `KeyboardInterrupt` as usual.

    Args:
        patient: ignore all later ones, too, until the block ends.

    Attributes:
        came: whether one was caught.

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

    def __init__(self, patient: bool = False) -> None:
        self.came = False
        self._patient = patient
        self._held_back = False

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Let Ctrl-C end the block, and no more than the block.

        Nothing is caught in other threads than the main one, as Python tells only that one of signals; where Ctrl-C is
        ignored, as in a shell's background jobs; and where its handler was not set from Python and could not be put
        back.
        """
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or before is None or before is signal.SIG_IGN:
            yield
            return

        def catch(number: int, frame: FrameType | None) -> None:
            if self.came:
                return
            self.came = True
            if not self._patient:
                signal.signal(signal.SIGINT, before)
            if not self._held_back:
                raise KeyboardInterrupt

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
        """Let the first Ctrl-C wait until the block ends."""
        self._held_back = True
        try:
            yield
        finally:
            self._held_back = False
        if self.came:
            raise KeyboardInterrupt
