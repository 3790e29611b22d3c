"""Progress in terminals and notebooks, which costs nothing when it is not shown; and estimates of the time left.

In a notebook it is a line of the cell's output, of which nothing stays when the work is done, and nothing is in the
saved file. It needs no widgets.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from maezoo.notebooks import in_notebook

__all__ = ["Pace", "announce", "track"]

_ENOUGH = 10.0  # seconds of work before an estimate means anything


@contextmanager
def track(total: int | None, unit: str, *, show: bool, **options: Any) -> Iterator[Callable[[int], None]]:
    """Give a function that advances a bar by some units.

    Args:
        total: units in all; `None` if unknown.
        unit: what they are called.
        show: draw the bar, on standard error or in the notebook; otherwise the function does nothing.
        options: of `tqdm`.

    Example:
        >>> with track(10, "images", show=False) as advance:
        ...     advance(10)
    """
    if not show:
        yield lambda units: None
        return
    with _bar(total=total, unit=f" {unit}", **options) as bar:
        yield bar.update


@contextmanager
def announce(what: str, *, show: bool) -> Iterator[Callable[[str], None]]:
    """Give a function that shows which step is being done, in one line that is gone at the end.

    Args:
        what: the work.
        show: show it, on standard error or in the notebook.

    Example:
        >>> with announce("optimising", show=False) as step:
        ...     step("features with onednn")
    """
    if not show:
        yield lambda step: None
        return
    with _bar(total=0, bar_format="{desc}", desc=what, leave=False) as bar:
        yield lambda step: bar.set_description_str(f"{what}: {step}")


@contextmanager
def _bar(**options: Any) -> Iterator[Any]:
    """Give a bar of tqdm, drawn where it belongs."""
    from tqdm import tqdm

    if not in_notebook():
        with tqdm(**options) as bar:
            yield bar
        return
    line = _CellLine()
    try:
        with tqdm(file=line, ncols=80, ascii=False, **{**options, "leave": True}) as bar:
            yield bar
    finally:
        line.show("")


class _CellLine:
    """A line in the output of a notebook's cell, as a file that tqdm writes to."""

    def __init__(self) -> None:
        display = import_module("IPython.display").display
        self._shown = display({"text/plain": ""}, raw=True, display_id=True)

    def show(self, text: str) -> None:
        """Put a text in place of the one that is shown."""
        self._shown.update({"text/plain": text}, raw=True)

    def write(self, text: str) -> None:
        """Show what tqdm writes: the bar, between characters that move a terminal's cursor."""
        if text.strip():
            self.show(text.strip())

    def flush(self) -> None:
        """Do nothing: each text is shown at once."""


class Pace:
    """Estimates the time left from the work since the first step came: what was slow before it does not count.

    Example:
        >>> Pace().left(0, 100) is None
        True
    """

    def __init__(self) -> None:
        self._least: int | None = None
        self._since: tuple[float, int] | None = None

    def left(self, done: int, total: int) -> float | None:
        """Return the seconds left; `None` until ten seconds of work have been seen.

        Args:
            done: units done; the first call sets where the work began.
            total: units in all.
        """
        if done >= total:
            return 0.0
        now = time.monotonic()
        if self._least is None:
            self._least = done
        elif self._since is None and done > self._least:
            self._since = now, done
        if self._since is None:
            return None
        seconds, units = now - self._since[0], done - self._since[1]
        return (total - done) * seconds / units if seconds >= _ENOUGH and units else None
