"""Pictures of more than 8 bits become pictures of 8: which of their values are black and which are white."""

import logging
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maezoo.errors import ImageError
from maezoo.vocabulary import Window

__all__ = ["Scaling"]

_SMALL_PART = 16  # a picture that uses less than this part of its range is told of
_PERCENTILES = (1, 99)
_LARGEST = 1e300  # so that differences are finite
_NARROW = (
    "%s uses values from %g to %g of a range from %g to %g, so it comes out with almost no contrast. "
    "window='percentiles' (--window percentiles) uses the values that it has; 'auto' and (LOW, HIGH) are the others."
)
_log = logging.getLogger(__name__)


class Scaling:
    """Scales values to 8 bits by one window, and warns once of each thing that a user should know of a picture.

    One of them serves the images of one call, in several threads.

    Args:
        window: which values become black and white; see `Preprocessing`.
        tell: called with a text and the facts to put into it, at most once for each text; nobody is told when `None`.
    """

    def __init__(self, window: Window = "full", tell: Callable[..., None] | None = _log.warning) -> None:
        self.window = window
        self._tell = tell
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def to_uint8(self, values: NDArray[Any], name: str, full: tuple[float, float] | None = None) -> NDArray[np.uint8]:
        """Scale values to 8 bits, rounding down; values outside the window become black or white.

        Args:
            values: integers or floats, of any shape but not empty.
            name: what errors call the picture.
            full: what `"full"` means for it; `None` where nothing says so.

        Raises:
            ImageError: NaN or infinity, or the window is `"full"` and the picture's range is not known.
        """
        low, high = _extremes(values, name)
        if self.window == "full":
            if full is None:
                pixels = "floating-point pixels" if values.dtype.kind == "f" else "pixels"
                raise ImageError(
                    f"{name} holds {pixels} from {low:g} to {high:g}, and nothing says which of them is white; "
                    "create the model with window='percentiles', 'auto' or (low, high), or scale them to uint8 or "
                    "uint16 yourself.",
                    reason="its range is not known",
                )
            self.note(name, (low, high), full)
            return _stretched(values, *full)
        if self.window == "percentiles":
            first, last = np.percentile(values, _PERCENTILES)
            if first < last:
                return _stretched(values, float(first), float(last))
        elif self.window != "auto":
            first, last = self.window
            if isinstance(first, tuple) or isinstance(last, tuple):
                raise ImageError(
                    f"{name}: a window of several bands does not fit it; create the model with another one."
                )
            return _stretched(values, first, last)
        return _stretched(values, low, high)

    def note(self, name: str, used: tuple[float, float], full: tuple[float, float]) -> None:
        """Tell of a picture that uses a small part of its range; not of one that has a single value."""
        narrow = 0 < (used[1] - used[0]) * _SMALL_PART < full[1] - full[0]
        if narrow:
            self.tell(_NARROW, name, *used, *full)

    def tell(self, text: str, *facts: object) -> None:
        """Tell something, the first time that it is so."""
        with self._lock:
            first = text not in self._told
            self._told.add(text)
        if first and self._tell is not None:
            self._tell(text, *facts)


def _extremes(values: NDArray[Any], name: str) -> tuple[float, float]:
    """Return the smallest and the largest value."""
    low, high = float(values.min()), float(values.max())
    if not max(abs(low), abs(high)) < _LARGEST:  # NaN is the smallest, where there is one, and not less
        raise ImageError(f"{name} holds NaN or infinity; replace them first.", reason="it holds NaN or infinity")
    return low, high


def _stretched(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Scale linearly, from 0 at `low` to 255 at `high`; where both are equal, what is above is white."""
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 2:  # a table is quicker
        bounds = np.iinfo(values.dtype)
        table = _stretched(np.arange(bounds.min, bounds.max + 1, dtype=np.float64), low, high)
        return table[values.astype(np.int32) - bounds.min]
    if low >= high:
        return np.where(values > high, 255, 0).astype(np.uint8)
    scaled = values.astype(np.float64)
    scaled -= low
    scaled *= 255  # before the division: so "full" of 16 bits is exactly values // 257
    scaled /= high - low
    return scaled.clip(0, 255, out=scaled).astype(np.uint8)
