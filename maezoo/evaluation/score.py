"""What an evaluation gives: an accuracy with its interval."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maezoo.errors import MissingExtraError

__all__ = ["Score", "bootstrap_interval", "score_predictions"]


@dataclass(frozen=True)
class Score:
    """The accuracy of one evaluation.

    Attributes:
        method: `"knn"` or `"linear"`.
        accuracy: share of test images whose label was predicted.
        interval: 95 % bootstrap interval of it over the test images.
        class_accuracy: mean over classes of the accuracy within each.
        correct: test images predicted right.
        total: test images.
        classes: classes of the training set.
        settings: what the method was run with.
    """

    method: str
    accuracy: float
    interval: tuple[float, float]
    class_accuracy: float
    correct: int
    total: int
    classes: int
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, fit for JSON."""
        return {**asdict(self), "interval": list(self.interval), "settings": dict(self.settings)}

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.method} {self.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%}; {self.total:,} images)"


def bootstrap_interval(correct: int, total: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile bootstrap interval of an accuracy.

    Drawing `total` images with replacement from `total` of which `correct` are right gives a binomial number of right
    ones, so the interval is that distribution's own; nothing has to be drawn.

    Args:
        correct: images predicted right.
        total: images.
        level: share of the resamples inside the interval.

    Raises:
        MissingExtraError: SciPy is not installed.

    Example:
        >>> bootstrap_interval(80, 100)
        (0.72, 0.88)
    """
    try:
        from scipy.stats import binom
    except ImportError as error:
        raise MissingExtraError.for_extra("eval", "the interval of an accuracy") from error
    low, high = binom.interval(level, total, correct / total)
    return float(low / total), float(high / total)


def score_predictions(
    method: str, predicted: NDArray[Any], labels: NDArray[Any], classes: int, settings: Mapping[str, Any]
) -> Score:
    """Compare predictions with labels, both (n,), and make the score."""
    right = predicted == labels
    within = [float(right[labels == label].mean()) for label in np.unique(labels)]
    return Score(
        method=method,
        accuracy=float(right.mean()),
        interval=bootstrap_interval(int(right.sum()), len(right)),
        class_accuracy=float(np.mean(within)),
        correct=int(right.sum()),
        total=len(right),
        classes=classes,
        settings=settings,
    )
