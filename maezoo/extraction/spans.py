"""What a run has to do: ranges of items of which some are missing."""

from dataclasses import dataclass

from maezoo.extraction.decode import Chunk, chunk_starts
from maezoo.extraction.shards import Shard

__all__ = ["Span"]


@dataclass(frozen=True)
class Span:
    """One shard's range of items, of which some are missing.

    Attributes:
        number: the shard's.
        start: number of its first item.
        stop: behind its last.
        begun: the beginning of it that an interrupted run has left.
        again: numbers of the items to try again, where the shard is there and others could be read.
    """

    number: int
    start: int
    stop: int
    begun: Shard | None = None
    again: tuple[int, ...] = ()

    @property
    def next(self) -> int:
        """The first item that is missing."""
        return self.start if self.begun is None else self.begun.first + self.begun.count

    @property
    def missing(self) -> int:
        """How many items are missing."""
        return len(self.again) or self.stop - self.next

    def chunks(self, size: int) -> list[Chunk]:
        """Cut what is missing into chunks; of a shard that is there, those with an item that is tried again."""
        every = chunk_starts(self.next, self.stop, size)
        if not self.again:
            return every
        tried = [tuple(number for number in self.again if each.start <= number < each.stop) for each in every]
        return [each._replace(again=again) for each, again in zip(every, tried, strict=True) if again]
