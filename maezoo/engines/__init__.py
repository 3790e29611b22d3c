"""The same model on the engine that this machine runs fastest: chosen by measurement, checked against eager PyTorch."""

from typing import TYPE_CHECKING

from maezoo._lazy import lazy_names

if TYPE_CHECKING:
    from maezoo.engines.plan import Plan, Route, TaskPlan, Trial
    from maezoo.engines.prepare import PreparedTask, prepare_task
    from maezoo.engines.registry import ENGINES, PRECISIONS, Engine, Precision
    from maezoo.engines.tasks import TASKS, Task

__all__ = [
    "ENGINES",
    "PRECISIONS",
    "TASKS",
    "Engine",
    "Plan",
    "Precision",
    "PreparedTask",
    "Route",
    "Task",
    "TaskPlan",
    "Trial",
    "prepare_task",
]

_HOMES = {
    "ENGINES": "maezoo.engines.registry",
    "PRECISIONS": "maezoo.engines.registry",
    "TASKS": "maezoo.engines.tasks",
    "Engine": "maezoo.engines.registry",
    "Plan": "maezoo.engines.plan",
    "Precision": "maezoo.engines.registry",
    "PreparedTask": "maezoo.engines.prepare",
    "Route": "maezoo.engines.plan",
    "Task": "maezoo.engines.tasks",
    "TaskPlan": "maezoo.engines.plan",
    "Trial": "maezoo.engines.plan",
    "prepare_task": "maezoo.engines.prepare",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
