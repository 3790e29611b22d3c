"""The progress bar of the command line."""

import time

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from maezoo.cli.screen import errors, note
from maezoo.progress import Pace

__all__ = ["Bar"]

_LINE_EVERY = 10.0  # seconds between lines where there is no terminal


class Bar:
    """Progress on standard error: a bar on a terminal; elsewhere a line with the time every ten seconds, and the last.

    Args:
        unit: what is counted, such as "images".
        total: how many there are; `None` when that is not known yet.
        shown: whether to show anything.
    """

    def __init__(self, unit: str, total: int | None = None, *, shown: bool = True) -> None:
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
        self._bar = Progress(*columns, console=errors, disable=not (shown and errors.is_terminal))
        self._task = self._bar.add_task("starting", total=total)
        self._unit, self._total = unit, total
        self._lines = shown and not errors.is_terminal
        self._line, self._last = "", time.monotonic()
        self._pace = Pace()

    def __enter__(self) -> "Bar":
        if not self._bar.disable:  # old versions of rich end even a bar that is not shown with a line
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self._bar.disable:
            self._bar.stop()
        if self._line and kind is None:
            note(self._line)

    def show(self, done: int, *, total: int | None = None, rate: float = 0.0, more: str = "") -> None:
        """Show how many are done, of how many, and how many a second; `more` is added as it is."""
        total = self._total = total or self._total
        parts = [f"{rate:,.1f} {self._unit}/s"] if rate else [self._unit]
        left = self._pace.left(done, total) if total else None
        if left and total and done < total:
            parts.append(f"{_duration(left)} left")
        text = ", ".join([*parts, *filter(None, [more])])
        self._bar.update(self._task, completed=done, total=total, description=text)
        if not self._lines:
            return
        count = f"{done:,} of {total:,}" if total else f"{done:,}"
        self._line = f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {count}{'  ' if rate else ' '}{text}"
        if time.monotonic() - self._last > _LINE_EVERY:
            note(self._line)
            self._line, self._last = "", time.monotonic()


def _duration(seconds: float) -> str:
    """Write a duration.

    Example:
        >>> _duration(59), _duration(3723)
        ('0:59', '1:02:03')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
