"""Pieces of shards, from any engine and in any order, become the files of the output."""

import time
from bisect import bisect_right

from maezoo.extract.job import Job, Span
from maezoo.extract.shards import Shard

__all__ = ["Assembly"]

_KEEP_EVERY = 60.0  # seconds of work that a kill may cost


class Assembly:
    """Puts pieces in order and writes each shard when it is whole; shards that take long are kept now and then.

    Args:
        job: the run.
        spans: the shards that are missing.
    """

    def __init__(self, job: Job, spans: list[Span]) -> None:
        self._job = job
        self._spans = {span.start: span for span in spans}
        self._starts = sorted(self._spans)
        self._open: dict[int, Shard] = {}
        self._early: dict[int, Shard] = {}
        self._kept = time.monotonic()

    def add(self, piece: Shard) -> None:
        """Take a piece; write the shard that it completes."""
        span = self._spans[self._starts[bisect_right(self._starts, piece.first) - 1]]
        shard = self._open.setdefault(span.start, span.begun or Shard(span.start))
        self._early[piece.first] = piece
        while (follower := self._early.pop(shard.first + shard.count, None)) is not None:
            shard.append(follower)
        if shard.count == span.stop - span.start:
            self._job.write(span, self._open.pop(span.start))
        elif time.monotonic() - self._kept > _KEEP_EVERY:
            self.keep()

    def keep(self) -> None:
        """Write the beginnings of all unfinished shards for the next run."""
        for start, shard in self._open.items():
            if shard.count:
                self._job.write_begun(self._spans[start], shard)
        self._kept = time.monotonic()
