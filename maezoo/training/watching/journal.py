"""A run's log and state: written to its folder, and sent to sinks."""

import json
import logging
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maezoo.errors import DivergedError
from maezoo.files import errors_named, written_whole
from maezoo.training.watching.records import (
    LOG,
    STATE,
    Record,
    kind_of,
    named_values,
    read_records,
    read_state,
    write_records,
)
from maezoo.training.watching.sinks import Sink, SinkName, Start, open_sink

__all__ = ["Journal"]

_log = logging.getLogger(__name__)


class Journal:
    """Writes the records of a run: to `log.jsonl`, and to the sinks that were asked for.

    A run that was killed is resumed from a checkpoint, and repeats the steps after it: their records are removed first,
    so that no point of a curve occurs twice.

    Args:
        folder: of the run.
        sinks: names of the dashboards that get the records, too.
        about: what the run is, as plain data, for `run.json` and the sinks.
        writes: whether this process writes; of several that share a run one does.
    """

    def __init__(
        self,
        folder: Path,
        sinks: Sequence[SinkName] = (),
        about: Mapping[str, Any] | None = None,
        *,
        writes: bool = True,
    ) -> None:
        self.folder, self._names, self._about = folder, tuple(sinks), dict(about or {})
        self._sinks: list[Sink] = []
        self._written = set[tuple[int, str]]()
        self._state: dict[str, Any] = {}
        self.kept: list[Record] = []
        self.done, self.writes = 0, writes

    def begin(self, done: int, *, resumed: bool) -> None:
        """Take out the records of steps that will be done again, and open the sinks.

        Args:
            done: steps done; 0 begins the run anew.
            resumed: it is the run that was here before; else it is a new one, also if it continues another.
        """
        self.done, path = done, self.folder / LOG
        found, before = read_records(path), read_state(self.folder)
        self.kept = [record for record in found if done and record["step"] <= done]
        if not self.writes:
            return
        if path.exists() and (len(self.kept) < len(found) or not _ends_well(path)):
            write_records(path, self.kept)
        self._written = {(record["step"], kind_of(record)) for record in self.kept}
        told = max((record["step"] for record in found), default=-1)
        known = before.get("id") if resumed else None
        id = known if isinstance(known, str) else secrets.token_hex(4)
        self._state = {"id": id, "began": before.get("began") if resumed else None, **self._about}
        self._state["began"] = self._state["began"] or time.time()
        self._set_state("running", done)
        start = Start(self.folder, id, done, told if resumed else -1, self._about.get("numbers", {}))
        self._sinks = [open_sink(name, start) for name in self._names]

    @property
    def losses(self) -> list[float]:
        """The mean losses of the steps done, as they are in the log."""
        return [record["loss"] for record in self.kept if isinstance(record.get("loss"), float)]

    @property
    def seconds(self) -> float:
        """The seconds of training of the steps done."""
        return max((float(record["seconds"]) for record in self.kept if record.get("seconds")), default=0.0)

    def has(self, step: int, kind: str) -> bool:
        """Tell whether a step's record of a kind is in the log."""
        return (step, kind) in self._written

    def write(self, record: Record) -> None:
        """Write a record, unless one of its step and kind is there."""
        where = record["step"], kind_of(record)
        if where in self._written or not self.writes:
            return
        self._written.add(where)
        with errors_named(self.folder / LOG) as path, path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        values = named_values(record)
        for sink in self._sinks:
            sink.log(record["step"], values)

    def show(self, step: int, picture: Path) -> None:
        """Send a picture to the sinks."""
        for sink in self._sinks:
            sink.show(step, picture)

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Record how the block ends, and close the sinks."""
        try:
            yield
        except BaseException as error:
            self._end(error)
            raise
        self._end(None)

    def _end(self, error: BaseException | None) -> None:
        if not self._state:  # the run did not begin
            return
        if error is None:
            state, why = "finished", None
        elif isinstance(error, KeyboardInterrupt):
            state, why = "stopped", None
        else:
            state, why = "diverged" if isinstance(error, DivergedError) else "failed", str(error)
        if isinstance(error, DivergedError) and error.path:
            self._state["good"] = Path(error.path).name
        step = max((step for step, _ in self._written), default=0)
        try:
            self._set_state(state, step, why)
        except OSError as full:
            if error is None:
                raise
            _log.warning("%s", full)
        for sink in self._sinks:
            sink.close()

    def _set_state(self, state: str, step: int, why: str | None = None) -> None:
        facts = {**self._state, "state": state, "step": step, "why": why, "updated": time.time(), "pid": os.getpid()}
        with written_whole(self.folder / STATE) as temporary:
            temporary.write_text(json.dumps(facts, indent=1), encoding="utf-8")


def _ends_well(path: Path) -> bool:
    """Tell whether a file is empty or ends with a line's end: what is appended must not join a line that was cut."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        if not file.tell():
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
