"""A progress bar, in terminals and notebooks, that costs nothing when it is not shown."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["track"]


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
