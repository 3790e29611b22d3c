"""Results for people (tables) and for programs (JSON, written again after every part)."""

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.speed.cells import Row, relate_to_ceiling
from benchmarks.speed.machine import Machine

__all__ = ["Report", "table"]

SCHEMA = 1
FASTEST = "maezoo optimised"


@dataclass
class Report:
    """All that a run found.

    Attributes:
        machine: what it ran on.
        model: the architecture.
        default: the number format that maezoo chooses here by itself.
        out: the JSON file; `None` for none.
        ceilings: GFLOP/s of matrix products by number format, or why there is none.
        parts: rows by part: `"models"`, `"create"`, `"start"`, `"images"`, `"memory"`.
        plans: what `optimize` chose, by precision.
        complete: whether the run came to its end.
    """

    machine: Machine
    model: str
    default: str
    out: Path | None = None
    ceilings: dict[str, float | str] = field(default_factory=dict)
    parts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    plans: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    complete: bool = False

    def add(self, part: str, rows: list[dict[str, Any]]) -> None:
        """Take rows in and write the file."""
        self.parts.setdefault(part, []).extend(rows)
        self.save()

    def add_cell(self, rows: list[Row]) -> None:
        """Take a cell in and write the file."""
        relate_to_ceiling(rows, self.ceilings, self.default)
        self.rows.extend(rows)
        self.save()

    def recalculate(self) -> None:
        """Relate all rows to ceilings that were measured again."""
        relate_to_ceiling(self.rows, self.ceilings, self.default)

    def to_data(self) -> dict[str, Any]:
        skipped = {row.contestant: row.note for row in self.rows if row.status == "skipped"}
        return {
            "schema": SCHEMA,
            "complete": self.complete,
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "command": f"python -m benchmarks.speed {' '.join(sys.argv[1:])}".strip(),
            "revision": _revision(),
            "model": self.model,
            "default_precision": self.default,
            "machine": self.machine.to_data(),
            "ceilings_gflops": self.ceilings,
            "skipped": skipped,
            "plans": self.plans,
            "models": [row.to_data() for row in self.rows],
            **self.parts,
        }

    def save(self) -> None:
        """Write the JSON file; it appears whole."""
        if self.out is None:
            return
        partial = self.out.with_name(self.out.name + ".partial")
        partial.write_text(json.dumps(self.to_data(), indent=1) + "\n", encoding="utf-8")
        partial.replace(self.out)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay rows out in columns, the first one left-aligned and the others right.

    Example:
        >>> print(table(("who", "s"), [("a", "1.00"), ("bcd", "10")]))
        who     s
        a    1.00
        bcd    10
    """
    body = [list(map(str, row)) for row in rows]
    widths = [max(len(line[column]) for line in [list(head), *body]) for column in range(len(head))]
    lines = []
    for line in [list(head), *body]:
        cells = [
            line[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def cell_table(rows: Sequence[Row]) -> str:
    """Lay a cell out, one contestant a line; those without a time say why."""
    head = ("", "images/s", "ms/call", "x peer", "x runtime", "ceiling", "differs", "turns", "spread")
    timed = [row for row in rows if row.seconds is not None]
    lines = [
        (
            row.contestant + (" (differs: not ranked)" if row.status == "differs" else ""),
            f"{row.images_per_second:.2f}",
            f"{1000 * (row.seconds or 0):.1f}",
            _ratio(row.to_peer),
            _ratio(row.to_runtime),
            "" if row.of_ceiling is None else f"{row.of_ceiling:.0%}",
            row.difference,
            str(len(row.samples)),
            "" if row.spread is None else f"{row.spread:.0%}",
        )
        for row in timed
    ]
    first = rows[0]
    others = [f"  {row.contestant}: {row.status}: {row.note}" for row in rows if row.seconds is None]
    title = f"{first.task}, {first.precision}, batch {first.batch}"
    return "\n".join([title, *([table(head, lines)] if lines else []), *others])


def summary(rows: Sequence[Row]) -> str:
    """Lay out maezoo's ratios, one cell a line."""
    cells: dict[tuple[str, str, int], dict[str, Row]] = {}
    for row in rows:
        cells.setdefault((row.task, row.precision, row.batch), {})[row.contestant] = row
    lines = []
    for (task, precision, batch), found in cells.items():
        ours = next((found[name] for name in (FASTEST, "maezoo") if name in found and found[name].seconds), None)
        if ours is None:
            continue
        created = found.get("maezoo")
        lines.append(
            (
                f"{task} {precision} {batch}",
                ours.contestant,
                f"{ours.images_per_second:.2f}",
                _ratio(ours.to_peer),
                _ratio(ours.to_runtime),
                "" if ours.of_ceiling is None else f"{ours.of_ceiling:.0%}",
                _ratio(created.to_peer if created else None),
            )
        )
    return table(("task, precision, batch", "", "images/s", "x peer", "x runtime", "ceiling", "as created"), lines)


def plain_table(rows: Sequence[dict[str, Any]]) -> str:
    """Lay out rows of a part other than the models."""
    keys = [key for key in dict.fromkeys(key for row in rows for key in row) if key not in ("samples", "status")]
    return table(keys, [[_number(row.get(key)) for key in keys] for row in rows])


def _number(value: object) -> str:
    """Write a value in few characters."""
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _revision() -> str | None:
    """Return the commit that is measured, marked when files differ from it."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parent,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()
