"""A run and its output: what is there, what is missing, and the check at the end that nothing is."""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from maezoo.errors import DataError
from maezoo.extraction.arrow import parquet_bytes, parquet_table
from maezoo.extraction.failures import Failure
from maezoo.extraction.items import Items
from maezoo.extraction.result import ExtractResult
from maezoo.extraction.settings import RECORD, Settings, versions
from maezoo.extraction.shards import Shard, ShardNote, Span, error_table, read_note, shard_name
from maezoo.extraction.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Job", "json_bytes"]

_ERRORS = "errors.parquet"
_PENDING = "pending.parquet"
_log = logging.getLogger(__name__)


class Counts(NamedTuple):
    """Counts of the images in the finished shards."""

    rows: int
    errors: int
    pending: int


@dataclass
class Job:
    """A run and the state of its output.

    Attributes:
        store: the output's Parquet files.
        records: what else is kept of the run.
        where: the output's name in messages.
        settings: of the run.
        items: all images.
        record: what `extract.json` holds.
    """

    store: Store
    records: Store
    where: str
    settings: Settings
    items: Items
    record: dict[str, Any]
    _finished: dict[int, ShardNote] = field(default_factory=dict)
    _changed: bool = False

    def missing(self) -> list[Span]:
        """Return the shards to make, with what was begun of them, and those with images to try again."""
        names, begun = set(self.store.names()), set(self.records.names())
        missing = []
        for number, start, stop in self._ranges():
            name, mark = shard_name(number), self._mark(start, stop)
            note = _note(self.store, name, mark) if name in names else None
            if note is not None and (note.first, note.count) == (start, stop - start):
                self._finished[number] = note
                again = tuple(failure.number for failure in note.failures if failure.kind != "damaged")
                if again:
                    missing.append(Span(number, start, stop, again=again))
                continue
            if name in names:
                _log.warning(
                    "%s/%s is damaged, of another run, or of images that have changed; it is made again.",
                    *(self.where, name),
                )
            missing.append(Span(number, start, stop, self._begun(number, start, mark, begun)))
        return missing

    def counts(self) -> Counts:
        """Count the images of the shards that are there."""
        notes = self._finished.values()
        failed = sum(len(note.failures) for note in notes)
        pending = sum(failure.kind == "passing" for note in notes for failure in note.failures)
        return Counts(sum(note.rows for note in notes), failed - pending, pending)

    def write(self, span: Span, shard: Shard) -> None:
        """Write a finished shard, and remove what an interrupted run had kept of it."""
        mark = self._mark(span.start, span.stop)
        self.store.write(shard_name(span.number), self._bytes(shard, mark))
        self._finished[span.number] = ShardNote(mark, shard.first, shard.count, len(shard.rows), shard.failures)
        self._changed = True
        self.records.remove(_begun_name(span.number))

    def write_begun(self, span: Span, shard: Shard) -> None:
        """Keep the beginning of a shard for the next run."""
        self.records.write(_begun_name(span.number), self._bytes(shard, self._mark(span.start, span.stop)))

    def repair(self, span: Span, pieces: list[Shard]) -> None:
        """Put what was read again into a finished shard; leave its file alone if that changes nothing."""
        shard = Shard.from_table(parquet_table(self.store.read(shard_name(span.number)))).with_pieces(pieces)
        if shard.failures != self._finished[span.number].failures:
            self.write(span, shard)

    def keep_engine(self, name: str) -> None:
        """Record the engine that embeds: a resumed run takes the same."""
        if self.record.get("engine") != name:
            self.record["engine"] = name
            self.records.write(RECORD, json_bytes(self.record))

    def pause(self, done: int, seconds: float) -> ExtractResult:
        """Record a run that Ctrl-C ended."""
        return self._record(done, seconds, stopped=True)

    def give_up(self, begun: Sequence[Failure], done: int, seconds: float) -> list[Failure]:
        """Record a run that ends because of its errors; return them all.

        Args:
            begun: failures in the files that are not finished.
            done: images read in this run.
            seconds: that they took.
        """
        failures = sorted([*self.failures(), *begun], key=lambda failure: failure.number)
        self.records.write(_ERRORS, parquet_bytes(error_table(failures)))
        self._record(done, seconds)
        return failures

    def failures(self) -> list[Failure]:
        """Return the failures in the finished files, in order."""
        return [failure for number in sorted(self._finished) for failure in self._finished[number].failures]

    def finish(self, done: int, seconds: float) -> ExtractResult:
        """Check that every image has a row or an error, or is pending; write the tables of failures and the record.

        Raises:
            DataError: an image has none of them.
        """
        rows, errors, pending = self.counts()
        if rows + errors + pending != len(self.items):
            raise DataError(
                f"{self.where}: {rows} rows, {errors} errors and {pending} pending do not make the {len(self.items)} "
                "images found. Run the same command again; should it say the same, report it."
            )
        waiting = [failure for failure in self.failures() if failure.kind == "passing"]
        final = error_table([failure for failure in self.failures() if failure.kind != "passing"])
        if not self._changed and self.record["complete"] == (not pending) and self._has_errors(final):
            return self._result(done, seconds)
        self.records.write(_ERRORS, parquet_bytes(final))
        if waiting:
            self.records.write(_PENDING, parquet_bytes(error_table(waiting)))
        else:
            self.records.remove(_PENDING)
        return self._record(done, seconds)

    def _has_errors(self, table: "pa.Table") -> bool:
        """Whether these errors are recorded already."""
        return _ERRORS in self.records.names() and parquet_table(self.records.read(_ERRORS)).equals(table)

    def _ranges(self) -> Iterator[tuple[int, int, int]]:
        """Yield number, start and stop of every shard."""
        size = self.settings.shard_size
        for number, start in enumerate(range(0, len(self.items), size)):
            yield number, start, min(start + size, len(self.items))

    def _mark(self, start: int, stop: int) -> str:
        """Return the mark of files that this run makes from these images as they are now."""
        return self.settings.fingerprint(self.record["items"], self.items.stamps(start, stop))

    def _begun(self, number: int, start: int, mark: str, names: set[str]) -> Shard | None:
        name = _begun_name(number)
        note = _note(self.records, name, mark) if name in names else None
        if note is None or note.first != start:
            return None
        return Shard.from_table(parquet_table(self.records.read(name)))

    def _bytes(self, shard: Shard, mark: str) -> bytes:
        kept = self.items.kept(shard.row_numbers())
        return parquet_bytes(shard.to_table(mark, labels=self.settings.labels, kept=kept))

    def _result(self, done: int, seconds: float, *, stopped: bool = False) -> ExtractResult:
        rows, errors, pending = self.counts()
        images = len(self.items)
        return ExtractResult(self.where, images, rows, errors, rows + errors == images, done, seconds, pending, stopped)

    def _record(self, done: int, seconds: float, *, stopped: bool = False) -> ExtractResult:
        result = self._result(done, seconds, stopped=stopped)
        counts = {name: getattr(result, name) for name in ("images", "rows", "errors", "pending")}
        self.record |= {"complete": result.complete, "counts": counts}
        self.record["images_per_second"] = round(result.images_per_second, 1)
        self.record["versions"] = versions()
        self.records.write(RECORD, json_bytes(self.record))
        return result


def _note(store: Store, name: str, mark: str) -> ShardNote | None:
    """Read a file's note, if it has the mark."""
    with store.open(name) as file:
        note = read_note(file)
    return note if note is not None and note.run == mark else None


def _begun_name(number: int) -> str:
    return f"begun-{number:06d}.parquet"


def json_bytes(data: dict[str, Any]) -> bytes:
    """Return a record as the bytes of its file."""
    return (json.dumps(data, indent=2) + "\n").encode()
