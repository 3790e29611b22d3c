"""The command line."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

import torch

from benchmarks.speed.peers import CONTESTANTS, short_name
from benchmarks.speed.tasks import PRECISIONS, TASKS, Precision, Task
from benchmarks.speed.timing import Budget
from maezoo.hardware import choose_device
from maezoo.model import VARIANTS

__all__ = ["PARTS", "Options", "read"]

PARTS = ("start", "create", "images", "memory")
PEERS = tuple(sorted({short_name(each) for each in CONTESTANTS} - {"maezoo"}))
_BATCHES = {"cpu": (1, 8, 32), "cuda": (1, 64, 256)}
_T = TypeVar("_T", bound=str)


@dataclass(frozen=True)
class Options:
    """What to do.

    Attributes:
        model: the architecture.
        device: where the models run.
        tasks: of the models.
        parts: what else is measured.
        precisions: of the models.
        batches: images at a time.
        peers: what maezoo is compared with; `None` for all.
        budget: how long each is timed.
        quick: leave the long parts out.
        memory_model: the architecture whose memory is measured.
        out: the JSON file.
        picture: the picture to draw; "auto" for the docs' own.
        draw: a JSON file to draw, measuring nothing.
    """

    model: str
    device: torch.device
    tasks: tuple[Task, ...]
    parts: tuple[str, ...]
    precisions: tuple[Precision, ...]
    batches: tuple[int, ...]
    peers: tuple[str, ...] | None
    budget: Budget
    quick: bool
    memory_model: str
    out: Path | None
    picture: str | None
    draw: Path | None

    @property
    def process_rounds(self) -> int:
        """How often each measured process is started."""
        return self.budget.rounds or (2 if self.quick else 5)


def read(arguments: Sequence[str] | None, description: str | None) -> Options:
    """Read the command line, and set the number of threads."""
    parser = _parser(description)
    parsed = parser.parse_args(arguments)
    if parsed.picture and not (parsed.out or parsed.draw):
        parser.error("--picture draws what --out writes: give both, or --draw and an earlier run's JSON")
    if parsed.threads:
        torch.set_num_threads(parsed.threads)
    device = choose_device(parsed.device)
    quick = parsed.quick
    tasks = parsed.tasks or (("features", "reconstruct", "images", "start") if quick else (*TASKS, *PARTS))
    peers = parsed.peers
    if quick and peers is None:
        peers = tuple(name for name in PEERS if name != "compile")
    budget = Budget(rounds=parsed.rounds)
    if quick and parsed.rounds is None:
        budget = Budget(seconds=1.5, least=3, most=5, turn=0.1)
    return Options(
        model=parsed.model,
        device=device,
        tasks=cast(tuple[Task, ...], tuple(task for task in tasks if task in TASKS)),
        parts=tuple(part for part in PARTS if part in tasks),
        precisions=parsed.precisions or (("float32",) if quick else PRECISIONS),
        batches=parsed.batches or ((1, 8) if quick else _BATCHES.get(device.type, (1, 8, 32))),
        peers=peers,
        budget=budget,
        quick=quick,
        memory_model=parsed.memory_model,
        out=parsed.out,
        picture=parsed.picture,
        draw=parsed.draw,
    )


def _parser(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="under three minutes: features and reconstruct in float32, few turns")
    add("--model", default="mae_vit_base", choices=sorted(VARIANTS), help="architecture (mae_vit_base)")
    add("--device", default="auto", help="auto, cpu, cuda")
    add("--tasks", type=_list((*TASKS, *PARTS)), help=f"of {', '.join((*TASKS, *PARTS))}")
    add("--batches", type=_numbers, help="images at a time (1,8,32; on CUDA 1,64,256)")
    add("--precisions", type=_list(PRECISIONS), help=f"of {', '.join(PRECISIONS)}")
    add("--peers", type=_list(PEERS), help=f"what maezoo is compared with, of {', '.join(PEERS)}")
    add("--rounds", type=int, help="turns of each contestant, instead of about 4 s")
    add("--threads", type=int, help="threads for all contestants")
    add("--memory-model", default="mae_vit_huge", choices=sorted(VARIANTS), help="whose memory (mae_vit_huge)")
    add("--out", type=Path, help="write the results as JSON, again after every part")
    add("--picture", nargs="?", const="auto", metavar="PATH", help="draw them; docs/images/performance-<class>.png")
    add("--draw", type=Path, metavar="JSON", help="draw the results of an earlier run and measure nothing")
    return parser


def _list(allowed: tuple[_T, ...]) -> Callable[[str], tuple[_T, ...]]:
    """Return a parser of words separated by commas, each one of those allowed."""

    def names(text: str) -> tuple[_T, ...]:
        chosen = [word.strip() for word in text.split(",") if word.strip()]
        for word in chosen:
            if word not in allowed:
                raise argparse.ArgumentTypeError(f"{word!r} is none of {', '.join(allowed)}")
        return tuple(word for word in allowed if word in chosen)

    return names


def _numbers(text: str) -> tuple[int, ...]:
    """Read positive whole numbers separated by commas."""
    try:
        numbers = tuple(int(word) for word in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of whole numbers") from error
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError("batches are positive")
    return numbers
