"""Whether the loss of a run has risen: a spike, or so far that the run is lost."""

import math

__all__ = ["Steadiness"]

_SPIKE = 2.0  # times the lowest loss
_LOST = 100.0


class Steadiness:
    """Follows the mean losses that a run reports.

    A loss above twice the lowest is a spike: a checkpoint of it is not a good one. Above a hundred times the lowest and
    twice the first, nothing is left of what was learned, and the run has diverged although its numbers are finite.

    Example:
        >>> steadiness = Steadiness()
        >>> for loss in (1.0, 0.5, 1.2):
        ...     steadiness.follow(loss)
        >>> steadiness.spikes, steadiness.is_lost
        (True, False)
        >>> steadiness.follow(60.0)
        >>> steadiness.is_lost
        True
    """

    def __init__(self) -> None:
        self.first = self.lowest = self.latest = math.nan

    def follow(self, loss: float) -> None:
        """Take the next mean loss."""
        self.latest = loss
        self.first = loss if math.isnan(self.first) else self.first
        self.lowest = loss if math.isnan(self.lowest) else min(self.lowest, loss)

    @property
    def spikes(self) -> bool:
        """The latest loss is above twice the lowest."""
        return self.would_spike(self.latest)

    def would_spike(self, loss: float) -> bool:
        """Tell whether a loss is above twice the lowest."""
        return loss > _SPIKE * self.lowest

    @property
    def is_lost(self) -> bool:
        """The latest loss is a hundred times the lowest, and twice the first."""
        return self.latest > _LOST * self.lowest and self.latest > 2 * self.first
