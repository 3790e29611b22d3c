"""The picture of docs/performance.md: maezoo and its peers in every cell, relative to the better peer."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["draw"]

FOLDER = Path(__file__).parents[2] / "docs" / "images"
TASKS = {"features": "features", "encode": "masked encode", "reconstruct": "reconstruct", "train": "training step"}


@dataclass(frozen=True)
class _Mark:
    """How a contestant is drawn."""

    label: str
    marker: str
    color: str
    size: float
    hollow: bool = False


# From the back to the front. Blue is maezoo, grey the PyTorch peers, warm colours the runtimes.
_MARKS = {
    "transformers, fused AdamW": _Mark("transformers, fused AdamW", "<", "#8a8f98", 5, hollow=True),
    "compile (timm, frozen)": _Mark("torch.compile of timm", "x", "#5c616b", 5.5),
    "transformers": _Mark("transformers", "^", "#8a8f98", 5.5),
    "timm": _Mark("timm", "s", "#5c616b", 5),
    "openvino": _Mark("OpenVINO", "D", "#c2571a", 5),
    "onnxruntime": _Mark("ONNX Runtime", "D", "#e0a100", 5),
    "maezoo": _Mark("maezoo, as created", "o", "#2864c8", 6.5, hollow=True),
    "maezoo optimised": _Mark("maezoo, optimised", "o", "#2864c8", 8),
}


def draw(results: Path, target: Path | None = None) -> Path:
    """Draw the models of a results file.

    Args:
        results: what `python -m benchmarks.speed --out` wrote.
        target: the picture; by default the one of the machine's class among the docs' pictures.

    Returns:
        The picture's path.
    """
    from matplotlib.figure import Figure

    data = json.loads(results.read_text(encoding="utf-8"))
    cells = _cells(data["models"])
    if not cells:
        raise SystemExit(f"{results} has no cell with a ratio to a peer: there is nothing to draw.")
    figure = Figure(figsize=(8.2, 1.5 + 0.31 * (len(cells) + len({cell[0] for cell in cells}))), dpi=130)
    axes = figure.add_axes((0.205, 0.0, 0.605, 1.0))
    _fill(axes, cells, data)
    path = FOLDER / f"performance-{_slug(data)}.png" if target is None else target
    figure.savefig(path, bbox_inches="tight", pad_inches=0.12, facecolor="white")
    return path


def _cells(rows: list[dict[str, Any]]) -> dict[tuple[str, str, int], dict[str, dict[str, Any]]]:
    """Sort ranked rows by task, then precision, then batch, as they were measured."""
    cells: dict[tuple[str, str, int], dict[str, dict[str, Any]]] = {}
    for task in TASKS:
        for row in rows:
            if row["task"] == task and row["to_peer"] is not None:
                cells.setdefault((task, row["precision"], row["batch"]), {})[row["contestant"]] = row
    return cells


def _fill(axes: Any, cells: dict[tuple[str, str, int], dict[str, dict[str, Any]]], data: dict[str, Any]) -> None:
    """Draw a line for each cell, the tasks under their names."""
    y, before, lowest, highest = 0.0, None, 0.9, 1.25
    seen: dict[str, Any] = {}
    for (task, precision, batch), found in cells.items():
        if task != before:
            y, before = y + (1.0 if before is None else 1.25), task
            axes.text(
                -0.335, y - 0.05, TASKS[task], transform=axes.get_yaxis_transform(), va="center", weight="bold", size=9
            )
        y += 1.0
        axes.axhline(y, color="#eceef1", linewidth=0.8, zorder=0)
        label = f"{precision}, batch {batch}"
        axes.text(
            -0.02, y, label, transform=axes.get_yaxis_transform(), va="center", ha="right", size=8, color="#30343b"
        )
        axes.text(1.02, y, _remark(found), transform=axes.get_yaxis_transform(), va="center", size=7.5, color="#30343b")
        for name, mark in _MARKS.items():
            if name in found:
                ratio = found[name]["to_peer"]
                lowest, highest = min(lowest, ratio), max(highest, ratio)
                seen[name] = _dot(axes, ratio, y, mark)
    _frame(axes, (lowest, highest), y, data)
    order = [name for name in reversed(_MARKS) if name in seen]
    axes.legend(
        [seen[name] for name in order],
        [_MARKS[name].label for name in order],
        loc="upper center",
        bbox_to_anchor=(0.42, -0.62 / (y + 1.4)),
        ncols=4,
        fontsize=7.5,
        frameon=False,
        handletextpad=0.2,
        columnspacing=1.2,
    )


def _dot(axes: Any, ratio: float, y: float, mark: _Mark) -> Any:
    (dot,) = axes.plot(
        ratio,
        y,
        mark.marker,
        color=mark.color,
        markersize=mark.size,
        markerfacecolor="white" if mark.hollow else mark.color,
        markeredgewidth=1.3 if mark.hollow or mark.marker == "x" else 0.5,
        linestyle="none",
        zorder=3,
    )
    return dot


def _frame(axes: Any, limits: tuple[float, float], bottom: float, data: dict[str, Any]) -> None:
    """Set scale, title and the line of the better peer."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = limits
    axes.set_xscale("log")
    axes.set_xlim(low * 0.94, high * 1.07)
    axes.set_ylim(bottom + 0.8, 0.3)
    ticks = _ticks(low * 0.94, high * 1.07)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(axis="x", labelsize=8, length=3)
    axes.set_yticks([])
    axes.axvline(1, color="#5c616b", linewidth=0.9, zorder=1)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    machine = data["machine"]
    where = machine["gpu"] or f"{machine['processor']}, {machine['threads']} threads"
    title = f"{data['model']} on {machine['kind']}: speed, relative to the better of timm and transformers"
    axes.set_title(title, fontsize=9.5, weight="bold", loc="left", x=-0.335, pad=18)
    versions = ", ".join(
        f"{name} {machine['versions'][name]}" for name in ("maezoo", "torch") if name in machine["versions"]
    )
    axes.text(
        -0.335,
        0.25,
        f"{where}; {versions}; {data['date'][:10]}",
        transform=axes.get_yaxis_transform(),
        size=7.5,
        va="bottom",
    )
    axes.text(
        1.02, 0.75, "images/s, of ceiling", transform=axes.get_yaxis_transform(), size=7.5, va="center", color="#5c616b"
    )


def _ticks(low: float, high: float) -> list[float]:
    """Choose ratios to mark: 1 first, then round ones that keep their distance from those chosen."""
    apart = math.log(high / low) / 16
    chosen = [1.0]
    for tick in (2, 0.5, 1.5, 4, 0.25, 3, 1.25, 0.75, 8, 16, 6, 32):
        if low <= tick <= high and all(abs(math.log(tick / other)) > apart for other in chosen):
            chosen.append(tick)
    return chosen


def _remark(found: dict[str, dict[str, Any]]) -> str:
    """Say maezoo's rate and its share of the ceiling."""
    row = found.get("maezoo optimised") or found.get("maezoo")
    if row is None:
        return ""
    share = "" if row["of_ceiling"] is None else f", {row['of_ceiling']:.0%}"
    return f"{row['images_per_second']:.3g}{share}"


def _slug(data: dict[str, Any]) -> str:
    """Return the class of the machine as part of a file name."""
    kind = str(data["machine"]["kind"]).lower()
    return "".join(character if character.isalnum() else "-" for character in kind)
