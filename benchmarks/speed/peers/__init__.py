"""The contestants: who they are, what they offer, and how each is called."""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch import Tensor

from benchmarks.speed.peers import ours, runtimes, timm_peer, transformers_peer
from benchmarks.speed.subject import Subject
from benchmarks.speed.tasks import Inputs, Precision, Task

__all__ = ["CONTESTANTS", "Call", "Contestant", "missing", "offering"]

Call: TypeAlias = Callable[[Inputs], Tensor]
Group: TypeAlias = Literal["maezoo", "peer", "runtime", "reference"]
Prepare: TypeAlias = Callable[[Subject, Task, Precision], Call]

_FLOAT: tuple[Precision, ...] = ("float32", "bfloat16")
_ALL: tuple[Precision, ...] = ("float32", "bfloat16", "int8", "default")
_MODEL: tuple[Task, ...] = ("features", "encode", "reconstruct")


@dataclass(frozen=True)
class Contestant:
    """One way to compute the tasks.

    Attributes:
        name: in tables; `--peers` takes its first word.
        group: `"maezoo"`; `"peer"`, whose better one is what maezoo is measured against; `"runtime"`, likewise but
            apart; `"reference"`, shown and not counted.
        prepare: makes its call.
        offers: tasks and precisions.
        needs: modules to import.
        install: what installs them.
    """

    name: str
    group: Group
    prepare: Prepare
    offers: tuple[tuple[Task, tuple[Precision, ...]], ...]
    needs: tuple[str, ...] = ()
    install: str = ""

    def offers_task(self, task: Task, precision: Precision) -> bool:
        return any(task == each and precision in precisions for each, precisions in self.offers)


def _tasks(
    tasks: tuple[Task, ...], precisions: tuple[Precision, ...]
) -> tuple[tuple[Task, tuple[Precision, ...]], ...]:
    return tuple((task, precisions) for task in tasks)


_WITH_ONNX = ("onnx", "onnxscript")

# In "int8" and "default" the peers run as they come: float32, eager.
CONTESTANTS = (
    Contestant(
        "maezoo", "maezoo", ours.created, (("features", (*_FLOAT, "default")), *_tasks((*_MODEL[1:], "train"), _FLOAT))
    ),
    Contestant("maezoo optimised", "maezoo", ours.optimized, (("features", _ALL), *_tasks(_MODEL[1:], _FLOAT))),
    Contestant("timm", "peer", timm_peer.eager, (("features", _ALL),), ("timm",), "pip install timm"),
    Contestant(
        "transformers",
        "peer",
        transformers_peer.eager,
        (("features", (*_FLOAT, "default")), *_tasks((*_MODEL[1:], "train"), _FLOAT)),
        ("transformers",),
        "pip install transformers",
    ),
    Contestant(
        "transformers, fused AdamW",
        "reference",
        transformers_peer.fused,
        _tasks(("train",), _FLOAT),
        ("transformers",),
        "pip install transformers",
    ),
    Contestant(
        "compile (timm, frozen)",
        "reference",
        timm_peer.compiled,
        (("features", _FLOAT),),
        ("timm",),
        "pip install timm",
    ),
    Contestant(
        "onnxruntime",
        "runtime",
        runtimes.onnxruntime,
        (("features", ("float32", "int8", "default")), *_tasks(_MODEL[1:], ("float32",))),
        ("onnxruntime", *_WITH_ONNX),
        "pip install onnx onnxscript onnxruntime",
    ),
    Contestant(
        "openvino",
        "runtime",
        runtimes.openvino,
        (("features", (*_FLOAT, "default")), *_tasks(_MODEL[1:], _FLOAT)),
        ("openvino", *_WITH_ONNX),
        "pip install onnx onnxscript openvino",
    ),
)


def offering(task: Task, precision: Precision, chosen: tuple[str, ...] | None = None) -> Iterator[Contestant]:
    """Yield who offers a task in a precision; of the peers, only those chosen."""
    for contestant in CONTESTANTS:
        wanted = chosen is None or contestant.group == "maezoo" or short_name(contestant) in chosen
        if wanted and contestant.offers_task(task, precision):
            yield contestant


def short_name(contestant: Contestant) -> str:
    """Return the name that `--peers` takes.

    Example:
        >>> sorted({short_name(each) for each in CONTESTANTS})
        ['compile', 'maezoo', 'onnxruntime', 'openvino', 'timm', 'transformers']
    """
    return contestant.name.replace(",", "").partition(" ")[0]


def missing(contestant: Contestant) -> tuple[str, ...]:
    """Return the modules that a contestant lacks here."""
    return tuple(name for name in contestant.needs if importlib.util.find_spec(name) is None)
