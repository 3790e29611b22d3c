"""From a model to runners: recall or measure the choice for a task, and set up what it names."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maezoo.engines import eager
from maezoo.engines.machine import machine_name, versions
from maezoo.engines.memory import fingerprint, recall, remember
from maezoo.engines.plan import TaskPlan, Trial
from maezoo.engines.registry import ENGINES, Engine, Precision, choose_engines
from maezoo.engines.runner import Runner, in_chunks
from maezoo.engines.tasks import Task, example_inputs, task_module
from maezoo.engines.trial import finish, prepare_all, time_all
from maezoo.errors import EngineError
from maezoo.model import MaskedAutoencoder

__all__ = ["PreparedTask", "prepare_task"]

_CHECKED = 2  # images on which an engine is checked


@dataclass(frozen=True)
class PreparedTask:
    """A task that runs on the engines of its plan.

    Attributes:
        plan: the choice.
        runners: by engine and chunk, those that the plan names.
        remembered: the plan was recalled, not measured.
        kept: the next time it can be recalled.
    """

    plan: TaskPlan
    runners: Mapping[tuple[str, int], Runner]
    remembered: bool
    kept: bool = True

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Run a batch by the plan's route for its size."""
        route = self.plan.route_for(inputs[0].shape[0])
        return self.runners[route.engine, route.chunk](*inputs)


def prepare_task(
    task: Task,
    model: MaskedAutoencoder,
    images: Tensor,
    *,
    engine: str,
    precision: Precision,
    batch_sizes: Sequence[int],
    folder: Path | None,
    advance: Callable[[str], None],
) -> PreparedTask:
    """Prepare one task of a model.

    Args:
        task: the task.
        model: in eval mode.
        images: (B, C, H, W) normalised, as many as the largest batch size, on the model's device.
        engine: a name, or `"auto"`.
        precision: what to compute in.
        batch_sizes: rising.
        folder: of remembered choices; nothing is remembered when `None`.
        advance: told each step before it begins.

    Raises:
        ValueError, MissingExtraError: see `choose_engines`.
        EngineError: no engine gave the right output.
    """
    engines = choose_engines(engine, precision, images.device)
    key = _key(task, model, engine, precision, batch_sizes, images)
    known = recall(folder, key)
    runners = None if known is None else _set_up(known, task, model, images, precision, advance)
    if known is not None and runners is not None:
        return PreparedTask(known, runners, remembered=True)
    plan, measured = _measure(engines, task, model, images, precision, batch_sizes, advance)
    kept = remember(folder, key, plan)
    return PreparedTask(plan, _by_route(plan, measured), remembered=False, kept=kept)


def _measure(
    engines: Sequence[Engine],
    task: Task,
    model: MaskedAutoencoder,
    images: Tensor,
    precision: Precision,
    batch_sizes: Sequence[int],
    advance: Callable[[str], None],
) -> tuple[TaskPlan, dict[str, Runner]]:
    """Check and time engines; return the choice and the runners of all that passed."""
    inputs = example_inputs(task, model, images)
    runners, checks = _prepare(engines, task, model, inputs, precision, advance)
    plan = finish(time_all(runners, checks, inputs, batch_sizes, advance) if runners else [], checks)
    if not plan.routes:
        reasons = "; ".join(f"{trial.engine}: {trial.note}" for trial in plan.trials)
        raise EngineError(f"no engine computes {task} of this model in {precision} rightly here. {reasons}.")
    return plan, runners


def _set_up(
    plan: TaskPlan,
    task: Task,
    model: MaskedAutoencoder,
    images: Tensor,
    precision: Precision,
    advance: Callable[[str], None],
) -> dict[tuple[str, int], Runner] | None:
    """Prepare the engines of a remembered choice; `None` when one is gone, unknown or no longer right."""
    engines = [ENGINES.get(name) for name in dict.fromkeys(route.engine for route in plan.routes)]
    found = [engine for engine in engines if engine is not None and engine.is_available()]
    if len(found) < len(engines):
        return None
    inputs = example_inputs(task, model, images[:_CHECKED])
    runners, _ = _prepare(found, task, model, inputs, precision, advance)
    return _by_route(plan, runners) if len(runners) == len(found) else None


def _prepare(
    engines: Sequence[Engine],
    task: Task,
    model: MaskedAutoencoder,
    inputs: tuple[Tensor, ...],
    precision: Precision,
    advance: Callable[[str], None],
) -> tuple[dict[str, Runner], dict[str, Trial]]:
    """Prepare engines and check each against eager float32 on the same weights."""
    module = task_module(task, model)
    few = tuple(each[:_CHECKED] for each in inputs)
    images, *visible = few
    reference = eager.prepare(module, few, torch.float32)(images, *visible)
    return prepare_all(
        engines, lambda engine: engine.prepare_task(module, few, precision), reference, few, precision, advance
    )


def _by_route(plan: TaskPlan, runners: Mapping[str, Runner]) -> dict[tuple[str, int], Runner]:
    """Return the runners that a plan names, cutting batches as it says."""
    return {(route.engine, route.chunk): in_chunks(runners[route.engine], route.chunk) for route in plan.routes}


def _key(
    task: Task,
    model: MaskedAutoencoder,
    engine: str,
    precision: Precision,
    batch_sizes: Sequence[int],
    images: Tensor,
) -> dict[str, Any]:
    """Return all that a choice depends on."""
    return {
        "task": task,
        "weights": fingerprint(model),
        "input": list(images.shape[1:]),
        "engine": engine,
        "precision": precision,
        "batch_sizes": list(batch_sizes),
        "machine": machine_name(images.device),
        "versions": versions(),
    }
