"""Ctrl-C in a long run: waiting ends at once, writing and computing when the step in progress is done."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["ENDING", "Interrupts", "interrupt", "shielding_children"]

ENDING = (signal.SIGINT, signal.SIGTERM)
"""The signals that end a run, which terminals and schedulers send to all of its processes."""

_catching: list[Callable[[int, FrameType | None], None]] = []  # the innermost block's last


def interrupt(frame: FrameType | None = None) -> None:
    """Do what Ctrl-C does, also where Ctrl-C is ignored; for handlers of other signals.

    Args:
        frame: as the handler got it.

    Raises:
        KeyboardInterrupt: unless a block holds it back.

    Example:
        >>> with Interrupts().caught():
        ...     interrupt()
        ...     print("never reached")
    """
    handler = _catching[-1] if _catching else signal.getsignal(signal.SIGINT)
    if not callable(handler):
        raise KeyboardInterrupt
    handler(signal.SIGINT, frame)


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

        Nothing is caught in other threads than the main one, as Python tells only that one of signals, and where Ctrl-C
        has a handler that was not set from Python and could not be put back. Where Ctrl-C is ignored, as in a shell's
        background jobs, it stays so, and `interrupt` alone ends the block.
        """
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or before is None:
            yield
            return

        def handle(handler: "Callable[[int, FrameType | None], None] | int | signal.Handlers") -> None:
            if before is not signal.SIG_IGN:
                signal.signal(signal.SIGINT, handler)

        def catch(number: int, frame: FrameType | None) -> None:
            if self.came:
                return
            self.came = True
            if not self._patient:
                _catching.remove(catch)
                handle(before)
            if not self._held_back:
                raise KeyboardInterrupt

        _catching.append(catch)
        handle(catch)
        try:
            yield
        except KeyboardInterrupt:
            if not self.came:
                raise
        finally:
            if catch in _catching:
                _catching.remove(catch)
            handle(before)

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


@contextmanager
def shielding_children() -> Iterator[None]:
    """Let processes that start in the block ignore Ctrl-C and SIGTERM from their very start.

    A terminal or a scheduler sends these to all processes at once, and the one that started the others needs them until
    its step is done; it ends them itself. They ignore its `terminate` as well, but not its `kill`.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker  # slow to import

    resource_tracker.ensure_running()  # else starting a process does, which unblocks the signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
