"""A progress bar that costs nothing when it is not shown."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["track"]


@contextmanager
def track(total: int | None, unit: str, *, show: bool) -> Iterator[Callable[[int], None]]:
    """Give a function that moves a bar on by some units.

    Args:
        total: units in all; `None` when nobody knows.
        unit: what they are called.
        show: draw the bar on standard error; otherwise the function does nothing.

    Example:
        >>> with track(10, "images", show=False) as advance:
        ...     advance(10)
    """
    if not show:
        yield lambda units: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(unit, total=total)
        yield lambda units: bar.advance(task, units)
