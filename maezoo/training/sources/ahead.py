"""Batches made while the one before is used."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

__all__ = ["made_ahead"]

_MAKERS = 2  # while one waits for the slowest image of its batch, the other keeps the decoders busy
_T = TypeVar("_T")


def made_ahead(make: Callable[[int], _T], steps: Iterable[int], depth: int) -> Generator[_T, None, None]:
    """Yield what is made for each step, in order; up to `depth` of the next ones are made meanwhile.

    Args:
        make: makes the batch of a step; called from other threads unless `depth` is 0.
        steps: the steps.
        depth: how many are made before they are asked for; with 0, each when it is asked for.

    Example:
        >>> list(made_ahead(lambda step: 10 * step, range(4), depth=2))
        [0, 10, 20, 30]
    """
    if depth < 1:
        yield from map(make, steps)
        return
    left = iter(steps)
    with ThreadPoolExecutor(_MAKERS, thread_name_prefix="maezoo-batches") as pool:
        upcoming: deque[Future[_T]] = deque(pool.submit(make, step) for step in islice(left, depth))
        try:
            while upcoming:
                batch = upcoming.popleft().result()
                upcoming.extend(pool.submit(make, step) for step in islice(left, 1))
                yield batch
        finally:
            for each in upcoming:
                each.cancel()
