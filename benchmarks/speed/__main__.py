"""How fast maezoo is on this machine, compared with other libraries and with what the machine can do.

    python -m benchmarks.speed [--quick] [--out results.json] [--picture]

Models run with the same random weights (speed does not depend on them). Outputs are compared before anything is timed.
All contestants of a cell (a task in a precision at a batch size) take turns; medians are printed, with their ratio to
the better of timm and transformers ("x peer"), to the better of ONNX Runtime and OpenVINO ("x runtime"), and with the
task's operations as a share of what matrix products reach in the same run ("ceiling"). Machines of different classes
disagree: compare within a class. Measure with nothing else running.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed import ceilings, machine, options
from benchmarks.speed.cells import Plan, run_cells
from benchmarks.speed.options import Options
from benchmarks.speed.preparation import measure_images
from benchmarks.speed.processes import measure_create, measure_memory, measure_start
from benchmarks.speed.report import Report, cell_table, plain_table, summary
from benchmarks.speed.subject import Subject
from benchmarks.speed.tasks import Task
from benchmarks.speed.timing import explain
from maezoo.hardware import choose_dtype

MEMORY_BATCH = 8


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; or draw what was measured."""
    chosen = options.read(arguments, __doc__)
    if chosen.draw is not None:
        _draw(chosen.draw, chosen.picture)
        return 0
    start = time.perf_counter()

    def say(line: str) -> None:
        print(f"[{time.perf_counter() - start:5.0f} s] {line}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="maezoo-benchmarks-") as name:
        _isolate(Path(name))
        report = _run(chosen, Path(name), say)
    say("done")
    if chosen.picture is not None and chosen.out is not None:
        _draw(chosen.out, chosen.picture)
    failed = [row for row in report.rows if row.status in ("failed", "differs")]
    for row in failed:
        print(f"{row.task} {row.precision} batch {row.batch}: {row.contestant} {row.status}: {row.note}")
    return 0


def _isolate(folder: Path) -> None:
    """Keep everything off the network, and hide from `optimize` what an earlier run remembered."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HOME"] = str(folder / "hf_home")


def _run(chosen: Options, folder: Path, say: Callable[[str], None]) -> Report:
    """Measure part after part."""
    described = machine.describe(chosen.device)
    default = str(choose_dtype(chosen.device).dtype).removeprefix("torch.")
    report = Report(described, chosen.model, default, chosen.out)
    print("\n".join(described.lines()))
    say("ceilings")
    report.ceilings = ceilings.measure(chosen.device)
    _print_ceilings(report)
    report.save()
    for part, measure in _parts(chosen, folder, say).items():
        _run_part(report, part, measure)
    if chosen.tasks:
        _run_models(chosen, folder, report, say)
    report.complete = True
    report.save()
    return report


def _parts(chosen: Options, folder: Path, say: Callable[[str], None]) -> dict[str, Callable[[], list[dict[str, Any]]]]:
    """Return what else is measured, ready to be called."""
    rounds = chosen.process_rounds
    parts: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "start": lambda: measure_start(rounds, say),
        "create": lambda: measure_create(chosen.model, _made(folder / chosen.model), rounds, say),
        "images": lambda: measure_images(folder, chosen.budget, say),
        "memory": lambda: measure_memory(chosen.memory_model, _made(folder / chosen.memory_model), MEMORY_BATCH, say),
    }
    return {part: measure for part, measure in parts.items() if part in chosen.parts}


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _run_part(report: Report, part: str, measure: Callable[[], list[dict[str, Any]]]) -> None:
    """Measure one part; an error in it does not end the run."""
    try:
        rows = measure()
    except Exception as error:
        rows = [{"contestant": part, "status": "failed", "note": explain(error)}]
    report.add(part, rows)
    print(f"\n{part}\n{plain_table(rows)}", flush=True)


def _run_models(chosen: Options, folder: Path, report: Report, say: Callable[[str], None]) -> None:
    """Measure the models cell by cell."""
    brief: tuple[Task, ...] = ("reconstruct",) if chosen.quick else ()
    plan = Plan(chosen.tasks, chosen.precisions, chosen.batches, chosen.peers, chosen.budget, brief)
    subject = Subject(chosen.model, chosen.device, plan.batches_of, _made(folder / "subject"), say)
    report.plans = subject.plans
    for rows in run_cells(subject, plan, say):
        report.add_cell(rows)
        print(f"\n{cell_table(rows)}", flush=True)
    if not chosen.quick:
        say("ceilings again")
        report.ceilings = ceilings.best_of(report.ceilings, ceilings.measure(chosen.device))
        report.recalculate()
        _print_ceilings(report)
    for name, made in subject.plans.items():
        print(f"\noptimize() for {name}: {made['seconds']} s", *made["plan"], sep="\n  ")
    print(f"\n{summary(report.rows)}", flush=True)


def _print_ceilings(report: Report) -> None:
    rates = (
        f"{name} {rate:,.0f}" if isinstance(rate, float) else f"{name} {rate}" for name, rate in report.ceilings.items()
    )
    print(f"ceilings, GFLOP/s of matrix products: {'; '.join(rates)}", flush=True)


def _draw(results: Path, picture: str | None) -> None:
    """Draw a JSON file's results."""
    from benchmarks.speed.picture import draw

    target = None if picture in (None, "auto") else Path(str(picture))
    print(f"drawn: {draw(results, target)}")


if __name__ == "__main__":
    raise SystemExit(main())
