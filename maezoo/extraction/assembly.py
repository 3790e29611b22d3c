"""Pieces that engines give, in any order, become the files of an output."""

import time
from bisect import bisect_right

from maezoo.extraction.failures import Failure
from maezoo.extraction.job import Job
from maezoo.extraction.shards import Shard, Span

__all__ = ["Assembly"]

_KEEP_EVERY = 60.0  # seconds of work that a kill may cost


class Assembly:
    """Puts pieces in order and writes each shard when it is complete; the beginning of one that takes long is kept.

    Args:
        job: the run.
        spans: the shards that are missing, in full or in part.
    """

    def __init__(self, job: Job, spans: list[Span]) -> None:
        self._job = job
        self._spans = {span.start: span for span in spans}
        self._starts = sorted(self._spans)
        self._open: dict[int, Shard] = {}
        self._early: dict[int, Shard] = {}
        self._again = {span.start: set(span.again) for span in spans if span.again}
        self._pieces: dict[int, list[Shard]] = {}
        self._kept = time.monotonic()

    def add(self, piece: Shard) -> tuple[int, int]:
        """Take a piece; write the shard that it completes.

        Returns:
            How many images it adds to those done, and how many of these failed.
        """
        span = self._spans[self._starts[bisect_right(self._starts, piece.first) - 1]]
        if span.again:
            return self._add_again(span, piece)
        shard = self._open.setdefault(span.start, span.begun or Shard(span.start))
        self._early[piece.first] = piece
        while (follower := self._early.pop(shard.first + shard.count, None)) is not None:
            shard.append(follower)
        if shard.count == span.stop - span.start:
            self._job.write(span, self._open.pop(span.start))
        elif time.monotonic() - self._kept > _KEEP_EVERY:
            self.keep()
        return piece.count, len(piece.failures)

    def keep(self) -> None:
        """Write the beginnings of all unfinished shards for the next run, and what was read again for finished ones."""
        for start, shard in self._open.items():
            if shard.count:
                self._job.write_begun(self._spans[start], shard)
        for start in list(self._pieces):
            self._job.repair(self._spans[start], self._pieces.pop(start))
        self._kept = time.monotonic()

    def failures(self) -> list[Failure]:
        """Return the failures in shards that are not finished."""
        return [failure for shard in self._open.values() for failure in shard.failures]

    def _add_again(self, span: Span, piece: Shard) -> tuple[int, int]:
        """Take a piece of a finished shard; put it in with the others once all have come."""
        left = self._again[span.start]
        tried = left & set(range(piece.first, piece.first + piece.count))
        left -= tried
        self._pieces.setdefault(span.start, []).append(piece)
        if not left:
            self._job.repair(span, self._pieces.pop(span.start))
        return len(tried), sum(failure.number in tried for failure in piece.failures)
