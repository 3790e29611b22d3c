"""`maezoo runs show`: how training runs stand, and their curves."""

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maezoo.cli.options import Json
from maezoo.cli.outputs import check_figure_name, check_no_input
from maezoo.cli.screen import Cell, note, print_json, show_table
from maezoo.files import written_whole
from maezoo.paths import user_path

if TYPE_CHECKING:
    from maezoo.training import RunSummary

__all__ = ["commands"]

commands = typer.Typer(no_args_is_help=True, help="See how training runs stand.")
_SCORES = {
    "probe_knn": "kNN",
    "probe_linear": "linear probe",
    "probe_loss": "held-out loss",
    "val_accuracy": "val top-1",
    "val_top5": "val top-5",
    "val_loss": "val loss",
}


@commands.callback()
def _group() -> None:
    """See how training runs stand."""


@commands.command()
def show(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, running or not.", parser=user_path)],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Draw the curves; .png, .pdf, .svg, …", parser=user_path, metavar="PATH"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show how training runs stand: steps, loss, speed, scores, time left."""
    if output is not None:
        check_figure_name(output, "-o")
        check_no_input(output, runs)
    from maezoo.training import summarise_run

    found = [summarise_run(each) for each in runs]
    if output is not None:
        _draw(found, output)
    if as_json:
        print_json([each.to_dict() for each in found])
    elif len(found) == 1:
        _show_one(found[0])
    else:
        _show_several(found)


def _show_one(run: "RunSummary") -> None:
    """Print one run, a line for each fact."""
    head = " ".join(filter(None, (run.kind, run.model)))
    rows: list[tuple[Cell, ...]] = [("state", run.state + (f", {head}" if head else ""))]
    rows += [("steps", f"{run.step:,} of {_whole(run.steps)}" + (f", {run.views:,} images" if run.views else ""))]
    if run.loss is not None:
        rows.append(("loss", f"{run.loss:.4g} now, {run.best_loss:.4g} at best (step {run.best_step:,})"))
    for key, name in _SCORES.items():
        if key in run.scores:
            rows.append((name, _score_text(key, run)))
    facts = {
        "rate": None if run.lr is None else f"{run.lr:.3g}",
        "gradient norm": None if run.gradient_norm is None else f"{run.gradient_norm:.3g}",
        "speed": None if run.views_per_second is None else f"{run.views_per_second:,.1f} images/s",
        "memory": None if run.memory_bytes is None else f"{run.memory_bytes / 1e9:.2f} GB at most",
        "time": None if run.seconds is None else _duration(run.seconds),
        "left": None if run.seconds_left is None else f"about {_duration(run.seconds_left)}",
        "checkpoint": None if run.checkpoint is None else run.checkpoint,
        "why": run.why,
    }
    rows += [(name, text) for name, text in facts.items() if text is not None]
    show_table(("", ""), rows, title=run.folder)


def _show_several(runs: "list[RunSummary]") -> None:
    """Print runs to compare, a line for each."""
    keys = [key for key in _SCORES if any(key in run.scores for run in runs)]
    columns = ("run", "state", ">step", ">loss", ">best", *(f">{_SCORES[key]}" for key in keys), ">rate", ">images/s")
    rows = [
        (
            name,
            run.state,
            f"{run.step:,}/{_whole(run.steps)}",
            _short(run.loss),
            _short(run.best_loss),
            *(_value(key, run.scores[key]["latest"][1]) if key in run.scores else "" for key in keys),
            "" if run.lr is None else f"{run.lr:.2g}",
            "" if run.views_per_second is None else f"{run.views_per_second:,.0f}",
        )
        for name, run in zip(_names(runs), runs, strict=True)
    ]
    show_table((*columns, ">left"), [(*row, _left(run)) for row, run in zip(rows, runs, strict=True)])


def _draw(runs: "list[RunSummary]", output: Path) -> None:
    """Draw the curves of all runs in one figure."""
    from maezoo.figures import plot_runs
    from maezoo.figures.canvas import encode_figure

    names = _names(runs) if len(runs) > 1 else None
    picture = encode_figure(plot_runs([run.records for run in runs], labels=names), output.suffix)
    with written_whole(output) as temporary:
        temporary.write_bytes(picture)
    note(str(output))


def _names(runs: "list[RunSummary]") -> list[str]:
    """Return names that tell runs apart: their folders', or what differs in their paths."""
    paths = [Path(run.folder) for run in runs]
    if len({path.name for path in paths}) == len(paths):
        return [path.name for path in paths]
    places = [str(path.absolute()) for path in paths]
    try:
        common = os.path.commonpath(places)
    except ValueError:  # on several drives of Windows
        return places
    return [os.path.relpath(place, common) for place in places]


def _score_text(key: str, run: "RunSummary") -> str:
    """Write how a score went."""
    points = run.scores[key]
    (first, began), (latest, now), (at, best) = points["first"], points["latest"], points["best"]
    text = f"{_value(key, now)} at step {latest:,}"
    if first != latest:
        text += f", from {_value(key, began)} at step {first:,}"
    return text if at in (first, latest) else f"{text}; best {_value(key, best)} at step {at:,}"


def _value(key: str, value: float) -> str:
    return f"{value:.4g}" if key.endswith("loss") else f"{value:.1%}"


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _whole(steps: int | None) -> str:
    return "?" if steps is None else f"{steps:,}"


def _left(run: "RunSummary") -> str:
    return "" if run.seconds_left is None else _duration(run.seconds_left)


def _duration(seconds: float) -> str:
    """Write a duration.

    Example:
        >>> _duration(59), _duration(100_000)
        ('0:00:59', '1 day, 3:46:40')
    """
    return str(timedelta(seconds=round(seconds)))
