"""What a run reports while it runs, and its result."""

import time
from dataclasses import dataclass

from maezoo.progress import Pace

__all__ = ["ExtractResult", "Meter", "Progress"]


@dataclass(frozen=True)
class ExtractResult:
    """What a run did.

    Attributes:
        output: the folder.
        images: images found in the source.
        rows: embeddings in the output.
        errors: images that could not be read; they are in `errors.parquet`.
        complete: every image has its row or its error.
        done: images read in this run.
        seconds: that they took, from the first batch asked for.
        pending: images that could not be read for now, such as those on a network that failed; they are in
            `pending.parquet`, and the same command tries them again.
        stopped: Ctrl-C ended the run.
    """

    output: str
    images: int
    rows: int
    errors: int
    complete: bool
    done: int
    seconds: float
    pending: int = 0
    stopped: bool = False

    @property
    def images_per_second(self) -> float:
        """Images of this run for each of its seconds."""
        return self.done / self.seconds if self.done else 0.0


@dataclass(frozen=True)
class Progress:
    """The progress of a run.

    Attributes:
        done: images done, those of earlier runs included.
        total: images found.
        errors: of those done.
        rate: images a second in this run.
        remaining: seconds left; `None` for the first ten seconds, in which an estimate would mean nothing.
    """

    done: int
    total: int
    errors: int
    rate: float
    remaining: float | None


class Meter:
    """Counts the images of a run.

    Args:
        total: images found.
        done: of them, images that earlier runs did.
        errors: of those done.
    """

    def __init__(self, total: int, done: int, errors: int) -> None:
        self._total, self._before, self._errors = total, done, errors
        self._start = time.perf_counter()
        self._pace = Pace()
        self.done = 0

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.perf_counter() - self._start

    def count(self, images: int, errors: int) -> Progress:
        """Count a batch; return the progress."""
        self.done += images
        self._errors += errors
        rate = self.done / max(self.seconds, 1e-9)
        through = self._before + self.done
        return Progress(through, self._total, self._errors, rate, self._pace.left(through, self._total))
