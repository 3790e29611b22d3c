"""A progress bar, in terminals and notebooks, that costs nothing when it is not shown; and estimates of time left."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Pace", "track"]

_ENOUGH = 10.0  # seconds of work before an estimate means anything


@contextmanager
def track(total: int | None, unit: str, *, show: bool) -> Iterator[Callable[[int], object]]:
    """Give a function that advances a bar by some units.

    Args:
        total: units in all; `None` if unknown.
        unit: what they are called.
        show: draw the bar, on standard error or in the notebook; otherwise the function does nothing.

    Example:
        >>> with track(10, "images", show=False) as advance:
        ...     advance(10)
    """
    if not show:
        yield lambda units: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, unit=f" {unit}") as bar:
        yield bar.update


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
