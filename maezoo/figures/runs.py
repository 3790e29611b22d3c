"""The curves of training runs: loss, rate, gradient norm, speed, scores; several runs in one figure."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from maezoo.errors import ArgumentError
from maezoo.figures.canvas import check_captions, check_width, new_figure, text_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_runs"]

_PANELS = (  # what stands in each: its title, and the keys of records with what they are called
    ("loss", (("loss", "training"), ("val_loss", "validation"), ("probe_loss", "held out"))),
    ("score (%)", (("val_accuracy", "validation"), ("probe_linear", "linear probe"), ("probe_knn", "kNN"))),
    ("gradient norm", (("gradient_norm", ""),)),
    ("learning rate", (("lr", ""),)),
    ("images per second", (("views_per_second", ""),)),
    ("memory (GB)", (("memory_bytes", ""),)),
)
_FROM_ZERO = ("images per second", "memory (GB)")
_UNITS = {"val_accuracy": 100.0, "probe_linear": 100.0, "probe_knn": 100.0, "memory_bytes": 1e-9}
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito's
_DASHES = ("-", "--", ":")
_WIDTH, _HEIGHT = 9.0, 2.4  # inches of the figure, and of a row
_WIDE = 20.0  # the largest value over the smallest, from which a scale is logarithmic
_FEW = 30  # points that have a marker each


def plot_runs(
    runs: Sequence[Sequence[Mapping[str, Any]]], *, labels: Sequence[str] | None = None, width: float | None = None
) -> "Figure":
    """Draw the logs of one or more training runs, each in a colour of its own.

    A panel is there where at least one run has numbers for it.

    Args:
        runs: the records of each run, as its `log.jsonl` holds them; every one has a `step`.
        labels: one text for each run.
        width: of the figure in inches; its height follows.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ArgumentError: no run, no number in any, another number of labels, or an impossible width.

    Example:
        >>> figure = plot_runs([[{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.4}]])
        >>> [axes.get_title(loc="left") for axes in figure.axes]
        ['loss']
    """
    check_width(width)
    names = check_captions(labels, len(runs), "labels")
    panels = [(title, keys) for title, keys in _PANELS if any(_points(run, key) for run in runs for key, _ in keys)]
    if not panels:
        raise ArgumentError("there is nothing to draw: no run has a number in its log yet.")
    columns = 1 if len(panels) == 1 else 2
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(width or _WIDTH, _HEIGHT * rows + 0.4)
    figure.set_layout_engine("constrained")
    every = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (title, keys) in zip(every, panels, strict=False):
        _draw_panel(axes, title, keys, runs)
    for axes in every[len(panels) :]:
        axes.remove()
    if any(names):
        _name_runs(figure, names)
    return figure


def _draw_panel(
    axes: "Axes", title: str, keys: Sequence[tuple[str, str]], runs: Sequence[Sequence[Mapping[str, Any]]]
) -> None:
    """Draw one panel: a colour for each run, a dash for each of its curves."""
    values, named = list[float](), set[str]()
    for number, run in enumerate(runs):
        for (key, name), dash in zip(keys, _DASHES, strict=False):
            points = _points(run, key)
            if not points:
                continue
            steps, heights = zip(*points, strict=True)
            axes.plot(
                steps,
                heights,
                color=_COLOURS[number % len(_COLOURS)],
                linestyle=dash,
                marker="o" if len(points) <= _FEW else None,
                markersize=3,
                linewidth=1.5,
                label=name if name and name not in named else None,
            )
            values += heights
            named.add(name)
    axes.set_title(text_of(title), loc="left")
    axes.set_xlabel("step")
    if min(values) > 0 and max(values) > _WIDE * min(values):
        axes.set_yscale("log")
    elif title in _FROM_ZERO:
        axes.set_ylim(0, 1.1 * max(values) or 1)
    axes.grid(linewidth=0.8, alpha=0.4)
    axes.spines[["top", "right"]].set_visible(False)
    if len(named) > 1:
        shown = axes.legend(frameon=False, fontsize="small")
        for handle in shown.legend_handles:
            if len(runs) > 1 and handle is not None and hasattr(handle, "set_color"):
                handle.set_color("#404040")  # dashes tell the curves apart, colours the runs


def _name_runs(figure: "Figure", names: Sequence[str]) -> None:
    """Write below the panels which colour is which run."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=_COLOURS[number % len(_COLOURS)], linewidth=3, label=text_of(name))
        for number, name in enumerate(names)
    ]
    longest = max(map(len, names))
    figure.legend(handles=handles, loc="outside lower center", ncols=max(1, min(len(names), 90 // (longest + 8))))


def _points(run: Sequence[Mapping[str, Any]], key: str) -> list[tuple[int, float]]:
    """Return the (step, value) pairs of a key, by step."""
    unit = _UNITS.get(key, 1.0)
    found = [
        (record["step"], value * unit)
        for record in run
        if isinstance(value := record.get(key), int | float) and not isinstance(value, bool) and math.isfinite(value)
    ]
    return sorted(found)
