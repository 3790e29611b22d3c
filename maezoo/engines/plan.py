"""What was tried, what came out, and what was chosen: plain data that can be printed and remembered."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from maezoo.engines.tasks import Task
from maezoo.notebooks import html_table

__all__ = ["Plan", "Route", "TaskPlan", "Trial"]


@dataclass(frozen=True)
class Trial:
    """One engine on one batch size.

    Attributes:
        engine: its name.
        batch: images in the call.
        chunk: of those, how many the engine sees at a time.
        images_per_second: by the median of its calls; `None` where it was not timed.
        difference: from the eager output, largest absolute relative to the largest value.
        cosine: to the eager output, the least over the images, each with all its tokens or patches.
        note: why it was ruled out; empty where it was not.
    """

    engine: str
    batch: int
    chunk: int
    images_per_second: float | None = None
    difference: float | None = None
    cosine: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Route:
    """Which engine runs batches of up to so many images.

    Attributes:
        up_to: largest batch of this route; `None` for any.
        engine: its name.
        chunk: images that the engine sees at a time.
    """

    up_to: int | None
    engine: str
    chunk: int


@dataclass(frozen=True)
class TaskPlan:
    """The choice for one task.

    Attributes:
        routes: by rising batch size; the last one takes any.
        trials: what the choice rests on.
    """

    routes: tuple[Route, ...]
    trials: tuple[Trial, ...]

    def __repr__(self) -> str:
        """Say the choice in one line."""
        return f"TaskPlan({'; '.join(map(_sentence, self.routes))})"

    def route_for(self, batch: int) -> Route:
        """Return the route of a batch size."""
        return next(route for route in self.routes if route.up_to is None or batch <= route.up_to)

    def to_dict(self) -> dict[str, Any]:
        """Return the choice as plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "TaskPlan":
        """Read what `to_dict` gave.

        Raises:
            KeyError, TypeError, ValueError: other data.
        """
        plan = cls(tuple(Route(**each) for each in data["routes"]), tuple(Trial(**each) for each in data["trials"]))
        if not plan.routes or plan.routes[-1].up_to is not None or not all(map(_is_route, plan.routes)):
            raise ValueError("no route takes batches of every size")
        return plan


@dataclass(frozen=True)
class Plan:
    """How an optimised model runs.

    Attributes:
        precision: what it computes in.
        machine: what it was measured on.
        tasks: the choice for each task that was prepared; the others run in eager PyTorch.
        remembered: the choices were read from the cache folder, not measured anew.
    """

    precision: str
    machine: str
    tasks: Mapping[Task, TaskPlan]
    remembered: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        return asdict(self)

    def in_words(self) -> str:
        """Say in a few words what computes each task, by rising batch size."""
        engines = {task: dict.fromkeys(route.engine for route in plan.routes) for task, plan in self.tasks.items()}
        choices = [f"{task} on {' and '.join(names)}" for task, names in engines.items()]
        return f"{', '.join(choices)} in {self.precision}"

    def __repr__(self) -> str:
        """Say the choices in one line; `print` shows the trials."""
        return f"Plan({self.in_words()})"

    def _repr_html_(self) -> str:
        """Show the trials and the choices in notebooks."""
        return html_table(
            [(task, *_cells(trial)) for task, plan in self.tasks.items() for trial in plan.trials],
            columns=("task", "engine", ">batch", ">chunk", ">images/s", ">difference", ">cosine", "note"),
            title=self._heading(),
            below=". ".join(f"{task}: {'; '.join(map(_sentence, p.routes))}" for task, p in self.tasks.items()),
        )

    def _heading(self) -> str:
        return f"{self.precision} on {self.machine}{', remembered' if self.remembered else ''}"

    def __str__(self) -> str:
        """Return the trials as a table and the choices as sentences."""
        lines = [self._heading()]
        for task, plan in self.tasks.items():
            lines += [f"\n{task:<24}{'batch':>6}{'chunk':>6}{'images/s':>10}{'difference':>12}{'cosine':>10}"]
            lines += [_line(trial) for trial in plan.trials]
            lines += [f"  -> {_sentence(route)}" for route in plan.routes]
        return "\n".join(lines)


def _cells(trial: Trial) -> tuple[str, ...]:
    """Return a trial as words."""
    speed = "-" if trial.images_per_second is None else f"{trial.images_per_second:.2f}"
    difference = "" if trial.difference is None else f"{trial.difference:.1e}"
    cosine = "" if trial.cosine is None else f"{trial.cosine:.5f}"
    return (trial.engine, str(trial.batch), str(trial.chunk), speed, difference, cosine, trial.note)


def _line(trial: Trial) -> str:
    engine, batch, chunk, speed, difference, cosine, note = _cells(trial)
    return f"  {engine:<22}{batch:>6}{chunk:>6}{speed:>10}{difference:>12}{cosine:>10}  {note}".rstrip()


def _sentence(route: Route) -> str:
    which = "larger batches" if route.up_to is None else f"batches up to {route.up_to}"
    return f"{which}: {route.engine}, {route.chunk} at a time"


def _is_route(route: Route) -> bool:
    """Tell whether what was read of a route can be one."""
    numbers = [route.chunk] if route.up_to is None else [route.chunk, route.up_to]
    return isinstance(route.engine, str) and all(type(number) is int and number > 0 for number in numbers)
