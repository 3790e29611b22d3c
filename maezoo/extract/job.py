"""A run and its output: what is there, what is missing, and the proof at the end that nothing is."""

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from maezoo.errors import DataError
from maezoo.extract.items import Items
from maezoo.extract.result import ExtractResult
from maezoo.extract.settings import RECORD, Settings, read_record, versions
from maezoo.extract.shards import (
    Shard,
    ShardNote,
    error_table,
    parquet_bytes,
    parquet_table,
    read_note,
    shard_name,
)
from maezoo.extract.store import Store

__all__ = ["Job", "Span", "open_job"]

_ITEMS = "items.arrow"
_ERRORS = "errors.parquet"
_LEFT_OVER = re.compile(r"\.(\.begun|part|errors|extract|items)-.*")  # temporary files of a run that was killed
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Span:
    """One shard's range of items, and the beginning of it that an interrupted run has left."""

    number: int
    start: int
    stop: int
    begun: Shard | None = None

    @property
    def next(self) -> int:
        """The first item that is missing."""
        return self.start if self.begun is None else self.begun.first + self.begun.count


@dataclass
class Job:
    """A run on its output.

    Attributes:
        store: the output.
        where: what messages call it.
        settings: of the run.
        items: all images.
        record: what `extract.json` holds.
        run: the fingerprint that marks the run's files.
    """

    store: Store
    where: str
    settings: Settings
    items: Items
    record: dict[str, Any]
    run: str = ""
    _finished: dict[int, ShardNote] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Derive the fingerprint."""
        self.run = self.settings.fingerprint(self.record["items"])

    def missing(self) -> list[Span]:
        """Return the shards that have to be made, with what is left of those that were begun."""
        names = set(self.store.names())
        missing = []
        for number, start, stop in self._ranges():
            name = shard_name(number)
            note = self._note(name) if name in names else None
            if note is not None and (note.first, note.count) == (start, stop - start):
                self._finished[number] = note
                continue
            if name in names:
                _log.warning("%s/%s is damaged or of another run; it is made again.", self.where, name)
            missing.append(Span(number, start, stop, self._begun(number, start, names)))
        return missing

    def counts(self) -> tuple[int, int]:
        """Return rows and errors of the finished shards."""
        notes = self._finished.values()
        return sum(note.rows for note in notes), sum(len(note.failures) for note in notes)

    def write(self, span: Span, shard: Shard) -> None:
        """Write a finished shard; what an interrupted run had left of it is no longer needed."""
        self.store.write(shard_name(span.number), self._bytes(shard))
        self._finished[span.number] = ShardNote(self.run, shard.first, shard.count, len(shard.rows), shard.failures)
        self.store.remove(_begun_name(span.number))

    def write_begun(self, span: Span, shard: Shard) -> None:
        """Keep the beginning of a shard for the next run."""
        self.store.write(_begun_name(span.number), self._bytes(shard))

    def keep_engine(self, name: str) -> None:
        """Record the engine that embeds: a run that goes on takes the same."""
        if self.record.get("engine") != name:
            self.record["engine"] = name
            self.store.write(RECORD, _json(self.record))

    def pause(self, done: int, seconds: float) -> ExtractResult:
        """Record a run that ended before its time."""
        return self._record(False, done, seconds)

    def finish(self, done: int, seconds: float) -> ExtractResult:
        """Check that every image has its row or its error, and write `errors.parquet` and the record.

        Raises:
            DataError: an image has neither.
        """
        rows, errors = self.counts()
        if rows + errors != len(self.items):
            raise DataError(
                f"{self.where}: {rows} rows and {errors} errors do not make the {len(self.items)} images found. Run "
                "the same command again; should it say the same, report it."
            )
        if done or not self.record["complete"] or _ERRORS not in self.store.names():
            failures = [failure for number in sorted(self._finished) for failure in self._finished[number].failures]
            self.store.write(_ERRORS, parquet_bytes(error_table(failures)))
            return self._record(True, done, seconds)
        return ExtractResult(self.where, len(self.items), rows, errors, True, 0, 0.0)

    def _ranges(self) -> Iterator[tuple[int, int, int]]:
        """Yield number, start and stop of every shard."""
        size = self.settings.shard_size
        for number, start in enumerate(range(0, len(self.items), size)):
            yield number, start, min(start + size, len(self.items))

    def _note(self, name: str) -> ShardNote | None:
        """Read what one of this run's files says of itself."""
        with self.store.open(name) as file:
            note = read_note(file)
        return note if note is not None and note.run == self.run else None

    def _begun(self, number: int, start: int, names: set[str]) -> Shard | None:
        name = _begun_name(number)
        note = self._note(name) if name in names else None
        if note is None or note.first != start:
            return None
        return Shard.from_table(parquet_table(self.store.read(name)))

    def _bytes(self, shard: Shard) -> bytes:
        return parquet_bytes(shard.to_table(self.run, labels=self.settings.labels))

    def _record(self, complete: bool, done: int, seconds: float) -> ExtractResult:
        rows, errors = self.counts()
        result = ExtractResult(self.where, len(self.items), rows, errors, complete, done, seconds)
        self.record |= {"complete": complete, "counts": {"images": result.images, "rows": rows, "errors": errors}}
        self.record["images_per_second"] = round(result.images_per_second, 1)
        self.record["versions"] = versions()
        self.store.write(RECORD, _json(self.record))
        return result


def open_job(store: Store, where: str, settings: Settings, found: Items, width: int) -> Job:
    """Begin a run, or go on with the one that the output holds.

    Args:
        store: the output, held by this process alone.
        where: what messages call it.
        settings: of the run.
        found: the images of the source as it is now; a resumed run keeps the list that it began with.
        width: D of the embeddings, for the record.

    Raises:
        DataError: no images, other settings, or an output that holds something else.
    """
    names = store.names()
    for name in filter(_LEFT_OVER.fullmatch, names):
        store.remove(name)
    if RECORD in names:
        return _resume(store, where, settings, found)
    if any(name.startswith("part-") for name in names):
        raise DataError(f"{where} holds part-… files but no {RECORD}. Name another output, or move them away.")
    if not len(found):
        raise DataError(f"no image was found in {settings.source}.")
    record = {
        "settings": settings.to_dict(),
        "items": found.fingerprint(),
        "width": width,
        "versions": versions(),
        "complete": False,
        "counts": {"images": len(found), "rows": 0, "errors": 0},
    }
    store.write(_ITEMS, found.to_bytes())
    store.write(RECORD, _json(record))
    return Job(store, where, settings, found, record)


def _resume(store: Store, where: str, settings: Settings, found: Items) -> Job:
    """Go on with the list of images that the run began with."""
    record = read_record(store.read(RECORD), where)
    settings.check_same(record["settings"], where)
    items = Items.from_bytes(store.read(_ITEMS))
    if items.fingerprint() != record["items"]:
        raise DataError(f"{where}/{_ITEMS} is not the list that the run began with. Name another output.")
    if found.fingerprint() != record["items"]:
        added, gone = items.changes(found)
        _log.warning(
            "%s has changed since this run began: %d images more, %d gone. The run keeps its list: what is gone "
            "becomes an error, what is new is left out; extract it to another output.",
            *(settings.source, added, gone),
        )
    if record["versions"] != versions():
        _log.warning("%s was begun with %s, and goes on with %s.", where, record["versions"], versions())
    return Job(store, where, settings, items, record)


def _begun_name(number: int) -> str:
    return f".begun-{number:06d}.parquet"


def _json(data: dict[str, Any]) -> bytes:
    return (json.dumps(data, indent=2) + "\n").encode()
