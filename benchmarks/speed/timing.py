"""Time calls against each other, alternately, so that other load on the machine affects all of them alike."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

__all__ = ["Budget", "Timing", "interleave", "seconds_of"]

_PAUSE = 0.01  # seconds between turns: thread pools that spin after their work have gone to sleep by then
_LONG = 1.0  # seconds a call; slower calls count from the first turn
_SLOW = 2.0  # seconds a call; slower calls get fewer rounds


@dataclass(frozen=True)
class Budget:
    """How long to measure.

    Attributes:
        seconds: of timed calls for each contestant, about.
        rounds: exactly so many turns for each, whatever they take; `None` lets `seconds` decide.
        least: turns at least.
        most: turns at most.
        turn: seconds that one turn lasts at least; short calls are repeated until it is over.
    """

    seconds: float = 4.0
    rounds: int | None = None
    least: int = 5
    most: int = 15
    turn: float = 0.2

    def count(self, slowest: float) -> int:
        """Return the number of turns when the slowest contestant needs so many seconds a call.

        Example:
            >>> Budget().count(0.01), Budget().count(0.5), Budget().count(4.0)
            (15, 8, 3)
        """
        if self.rounds is not None:
            return self.rounds
        least = self.least if slowest < _SLOW else min(self.least, 3)
        return max(least, min(self.most, int(self.seconds / max(slowest, self.turn))))

    def repeats(self, call: float) -> int:
        """Return how many calls make up a turn."""
        return max(1, min(1000, round(self.turn / max(call, 1e-6))))


@dataclass
class Timing:
    """What was measured of one contestant: seconds a call, one sample a turn; or why there is none."""

    samples: list[float] = field(default_factory=list)
    failure: str | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.samples)


def interleave(
    calls: Mapping[str, Callable[[], object]], budget: Budget, device: torch.device | None = None
) -> dict[str, Timing]:
    """Time calls alternately. One that raises drops out, and the others continue.

    Args:
        calls: what to time, by name; each has been called before.
        budget: how long.
        device: to wait for after each turn.

    Returns:
        What was measured, by name.
    """
    timings = {name: Timing() for name in calls}
    first = {name: _turn(timings[name], call, 1, device) for name, call in calls.items()}
    running = {name: seconds for name, seconds in first.items() if seconds is not None}
    slowest = max(running.values(), default=0.0)
    rounds = budget.count(slowest)
    if slowest >= _LONG and rounds > 1:  # warming up is negligible for calls this long
        rounds -= 1
        for name, each in running.items():
            timings[name].samples.append(each)
    gc.collect()
    for number in range(rounds):
        order = list(running)
        start = number % max(1, len(order))
        for name in order[start:] + order[:start]:
            time.sleep(_PAUSE)
            seconds = _turn(timings[name], calls[name], budget.repeats(first[name] or 0.0), device)
            if seconds is None:
                del running[name]
            else:
                timings[name].samples.append(seconds)
    return timings


def seconds_of(call: Callable[[], object], device: torch.device | None = None, repeats: int = 1) -> float:
    """Return the seconds that a call takes, the mean of so many in a row."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / repeats


def _turn(timing: Timing, call: Callable[[], object], repeats: int, device: torch.device | None) -> float | None:
    """Take one turn; note a failure and return `None` when there is one."""
    try:
        return seconds_of(call, device, repeats)
    except Exception as error:
        timing.failure = explain(error)
        return None


def explain(error: BaseException) -> str:
    """Put an error in one line.

    Example:
        >>> explain(ValueError("a\\nb"))
        'ValueError: a b'
    """
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
