"""The models against each other: one cell is one task in one precision at one batch size."""

import gc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch

from benchmarks.speed.peers import Call, Contestant, missing, offering
from benchmarks.speed.subject import NotOffered, Subject
from benchmarks.speed.tasks import Inputs, Precision, Task, compare, flops
from benchmarks.speed.timing import Budget, Timing, explain, interleave

__all__ = ["Plan", "Row", "run_cells"]

Status = Literal["ok", "differs", "failed", "skipped"]


@dataclass(frozen=True)
class Plan:
    """What to measure of the models."""

    tasks: tuple[Task, ...]
    precisions: tuple[Precision, ...]
    batches: tuple[int, ...]
    peers: tuple[str, ...] | None
    budget: Budget
    brief: tuple[Task, ...] = ()

    def batches_of(self, task: Task) -> tuple[int, ...]:
        """Return the batch sizes of a task; those in `brief` have the smallest alone."""
        return (min(self.batches),) if task in self.brief else self.batches


@dataclass
class Row:
    """One contestant in one cell.

    Attributes:
        task, precision, batch: the cell.
        contestant, group: who.
        status: `"ok"`; `"differs"` (timed, not ranked), `"failed"` or `"skipped"`, with the reason in `note`.
        note: why, or how it is installed.
        difference: from the reference, in words; `measure` and `value` as numbers.
        seconds: median of a call.
        best, spread: its fastest turn, and the distance of its quartiles as a share of the median.
        samples: seconds a call of every turn.
        images_per_second: at the median.
        gflops: the task's operations at that rate.
        of_ceiling: that, as a share of the matrix products' rate in this precision, measured in the same run.
        to_peer, to_runtime: times the speed of the best peer and of the best runtime in this cell.
    """

    task: Task
    precision: Precision
    batch: int
    contestant: str
    group: str
    status: Status = "ok"
    note: str = ""
    difference: str = ""
    measure: str | None = None
    value: float | None = None
    seconds: float | None = None
    best: float | None = None
    spread: float | None = None
    samples: list[float] = field(default_factory=list)
    images_per_second: float | None = None
    gflops: float | None = None
    of_ceiling: float | None = None
    to_peer: float | None = None
    to_runtime: float | None = None

    def to_data(self) -> dict[str, Any]:
        return asdict(self)


def run_cells(subject: Subject, plan: Plan, say: Callable[[str], None]) -> Iterator[list[Row]]:
    """Measure cell after cell."""
    for precision in plan.precisions:
        if precision == "bfloat16" and subject.dtype("default") != torch.bfloat16:
            say("bfloat16: not measured, this machine has no fast one")
            continue
        for task in plan.tasks:
            prepared = _Prepared(subject, task, precision, list(offering(task, precision, plan.peers)))
            for batch in plan.batches_of(task):
                if prepared.offered:
                    yield _run_cell(prepared, batch, plan.budget, say)
            del prepared
            _clean()
        subject.forget()


class _Prepared:
    """The contestants of a task and precision, each made ready when first called and then kept for all batches."""

    def __init__(self, subject: Subject, task: Task, precision: Precision, offered: list[Contestant]) -> None:
        self.subject, self.task, self.precision, self.offered = subject, task, precision, offered
        self.calls: dict[str, Call] = {}
        self.out: dict[str, tuple[Status, str]] = {}
        for contestant in offered:
            if lacking := missing(contestant):
                note = f"{', '.join(lacking)} not installed: {contestant.install}"
                self.out[contestant.name] = ("skipped", note)

    def call(self, contestant: Contestant) -> Call:
        if contestant.name not in self.calls:
            self.calls[contestant.name] = contestant.prepare(self.subject, self.task, self.precision)
        return self.calls[contestant.name]


def _run_cell(prepared: _Prepared, batch: int, budget: Budget, say: Callable[[str], None]) -> list[Row]:
    """Compare the outputs of all contestants, then time those that have one."""
    subject, task, precision = prepared.subject, prepared.task, prepared.precision
    where = f"{task} {precision} batch {batch}"
    inputs = Inputs.make(subject.variant, batch, subject.device)
    rows = [Row(task, precision, batch, each.name, each.group) for each in prepared.offered]
    with torch.no_grad():
        calls: dict[str, Callable[[], object]] = {}
        for contestant, row in zip(prepared.offered, rows, strict=True):
            say(f"{where}: {contestant.name}")
            call = _checked(prepared, contestant, inputs, row)
            if call is not None:
                calls[contestant.name] = _bound(call, inputs)
        say(f"{where}: timing {', '.join(calls) or 'nobody'}")
        timings = interleave(calls, budget, subject.device)
    for row in rows:
        if row.contestant in timings:
            _fill(row, timings[row.contestant], flops(subject.variant, task))
    _rank(rows)
    return rows


def _checked(prepared: _Prepared, contestant: Contestant, inputs: Inputs, row: Row) -> Call | None:
    """Call a contestant once and compare what it gives; `None` when there is nothing to time."""
    if contestant.name in prepared.out:
        row.status, row.note = prepared.out[contestant.name]
        return None
    try:
        call = prepared.call(contestant)
        reference = prepared.subject.reference(prepared.task, inputs)
        found = compare(call(inputs), reference, prepared.precision)
    except NotOffered as reason:
        row.status, row.note = prepared.out[contestant.name] = ("skipped", str(reason))
        return None
    except Exception as error:
        row.status, row.note = "failed", explain(error)
        return None
    row.difference, row.measure, row.value = str(found), found.measure, found.value
    if not found.fine:
        row.status, row.note = "differs", f"its output differs from the reference: {found}"
    return call


def _bound(call: Call, inputs: Inputs) -> Callable[[], object]:
    return lambda: call(inputs)


def _fill(row: Row, timing: Timing, work: float) -> None:
    """Put what was measured into a row."""
    if timing.failure is not None or not timing.samples:
        row.status, row.note = "failed", timing.failure or "no time was taken"
        return
    ordered = sorted(timing.samples)
    row.samples = [round(seconds, 6) for seconds in timing.samples]
    row.seconds, row.best = timing.median, ordered[0]
    row.spread = (
        ordered[(3 * len(ordered)) // 4 if len(ordered) > 1 else 0] - ordered[len(ordered) // 4]
    ) / row.seconds
    row.images_per_second = row.batch / row.seconds
    row.gflops = row.images_per_second * work / 1e9


def _rank(rows: list[Row]) -> None:
    """Relate those whose output is right to the best peer and the best runtime."""
    best_peer, best_runtime = _best(rows, "peer"), _best(rows, "runtime")
    for row in rows:
        if row.status == "ok" and row.images_per_second:
            row.to_peer = row.images_per_second / best_peer if best_peer else None
            row.to_runtime = row.images_per_second / best_runtime if best_runtime else None


def _best(rows: Iterable[Row], group: str) -> float:
    """Return the highest rate of a group, 0 when nobody in it has one."""
    return max((row.images_per_second or 0.0 for row in rows if row.group == group and row.status == "ok"), default=0.0)


def relate_to_ceiling(rows: Iterable[Row], ceilings: dict[str, float | str], default: str) -> None:
    """Fill in the share of the ceiling.

    Args:
        rows: of all cells.
        ceilings: rates by number format.
        default: the format that maezoo takes by default; the peers' is float32.
    """
    for row in rows:
        ceiling = ceilings.get(_format(row, default))
        if row.gflops and isinstance(ceiling, float):
            row.of_ceiling = row.gflops / ceiling


def _format(row: Row, default: str) -> str:
    """Name the number format that a row's products are made in."""
    if row.group == "peer" and row.precision in ("int8", "default"):
        return "float32"
    if row.precision == "default":
        return "float32" if row.contestant == "onnxruntime" else default
    return row.precision


def _clean() -> None:
    """Give memory back before the next contestants come."""
    torch._dynamo.reset()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
