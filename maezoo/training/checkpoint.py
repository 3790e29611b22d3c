"""Checkpoints: a run's weights, averages, optimizer state and recipe in one safetensors file, or a folder of shares."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from maezoo.errors import CheckpointError, DivergedError
from maezoo.tensorfiles import write_safetensors
from maezoo.training.division import Division
from maezoo.training.optimizers import Optimizers
from maezoo.training.sharded import (
    find_shares,
    local_part,
    placed_as,
    read_facts,
    read_shares,
    remove_shares,
    write_shares,
)

__all__ = ["State", "find_checkpoint", "load_checkpoint", "not_finite", "save_checkpoint"]

_FILE = "checkpoint.safetensors"
_WHOLE = Division()
_MACHINE_FIELDS = frozenset({"precision"})  # a run may be resumed on another kind of machine


@dataclass(frozen=True)
class State:
    """All that a checkpoint holds of a run, but for its facts.

    Attributes:
        objective: what is trained, with its loss.
        ema: averages of its trainable parameters, by name.
        optimizers: of it.
    """

    objective: nn.Module
    ema: dict[str, Tensor]
    optimizers: Optimizers

    def tensors(self) -> dict[str, Tensor]:
        """Return all of it by name."""
        tensors = {f"model/{name}": value for name, value in self.objective.state_dict().items()}
        tensors |= {f"ema/{name}": value for name, value in self.ema.items()}
        return tensors | {f"optimizer/{name}": value for name, value in self.optimizers.tensors()}

    def size(self) -> int:
        """Return about how many bytes a checkpoint takes."""
        sizes: dict[int, int] = {id(tensor): tensor.nbytes for tensor in self.objective.state_dict().values()}
        return sum(sizes.values()) + 3 * sum(int(tensor.nbytes) for tensor in self.ema.values())

    def parameter(self, name: str) -> Tensor | None:
        """Return the parameter that a tensor of a checkpoint belongs to."""
        kind, _, rest = name.partition("/")
        key = rest.rpartition("/")[0] if kind == "optimizer" else rest
        found: Tensor | None = self.objective.state_dict().get(key)
        return found

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put in place what `tensors` gave, whole or shared out."""
        weights = self.objective.state_dict()
        model = {name: placed_as(value, weights[name]) for name, value in _below("model/", tensors).items()}
        self.objective.load_state_dict(model)
        with torch.no_grad():
            for name, value in _below("ema/", tensors).items():
                self.ema[name].copy_(placed_as(value, self.ema[name]))
        self.optimizers.restore(_below("optimizer/", tensors))


def find_checkpoint(out: Path) -> Path | None:
    """Return the newest checkpoint in a run's folder: a file, or a folder of shares; `None` where there is none."""
    file, shares = out / _FILE, find_shares(out)
    if shares is None or not file.exists():
        return shares or (file if file.exists() else None)
    try:
        with safe_open(file, framework="pt") as opened:
            step = int((opened.metadata() or {}).get("step", "-1"))
    except (SafetensorError, OSError, ValueError):
        return shares
    return file if step >= read_facts(shares)["step"] else shares


def save_checkpoint(out: Path, state: State, *, step: int, facts: dict[str, Any], division: Division = _WHOLE) -> None:
    """Write the complete state of a run after `step` steps; it appears complete or not at all, and replaces others.

    Args:
        out: the run's folder.
        state: of the run.
        step: steps done.
        facts: what decides the run's result, as plain data; a run is resumed only with the same.
        division: how steps are divided; all processes call this.

    Raises:
        DivergedError: a number in it is NaN or infinite; what is there stays.
    """
    tensors, processes = state.tensors(), division.processes
    wrong = not_finite(tensors) if division.sharded or processes.first else None
    if any(processes.any(wrong is not None)):
        raise DivergedError(f"{wrong or 'a weight'} became NaN or infinite by step {step}")
    if division.sharded:
        write_shares(out, tensors, step=step, facts=facts, processes=processes)
        (out / _FILE).unlink(missing_ok=True)
        return
    if processes.first:
        write_safetensors(out / _FILE, tensors, {"step": str(step), "recipe": json.dumps(facts)})
        remove_shares(out)
    processes.wait()


def load_checkpoint(path: Path, state: State, *, facts: dict[str, Any]) -> int:
    """Resume a run from a checkpoint, in place.

    Returns:
        The number of steps done.

    Raises:
        CheckpointError: the checkpoint is damaged or belongs to a run with another recipe.
    """
    if path.is_dir():
        found = read_facts(path)
        _check_facts(path, found["recipe"], facts)
        step, tensors = int(found["step"]), read_shares(path, state.parameter)
    else:
        step, saved, tensors = _read(path)
        _check_facts(path, saved, facts)
    wrong = not_finite(tensors)
    if wrong:
        raise CheckpointError(
            f"{path} holds a run that diverged: {wrong} is NaN or infinite. Remove it to start again."
        )
    state.restore(tensors)
    return step


def _read(path: Path) -> tuple[int, dict[str, Any], dict[str, Tensor]]:
    """Return the step, the facts and the tensors of a file."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
        return int(metadata["step"]), json.loads(metadata["recipe"]), tensors
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CheckpointError.about(
            path, f"is no checkpoint of a training run: {error}. Remove it to start again."
        ) from error


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first tensor that holds NaN or infinity.

    Example:
        >>> not_finite({"a": torch.zeros(2), "b": torch.tensor([1.0, float("nan")])})
        'b'
    """
    return next((name for name, value in tensors.items() if not bool(torch.isfinite(local_part(value)).all())), None)


def _check_facts(path: Path, saved: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse a checkpoint of another recipe, naming what differs."""
    keys = [key for key, value in wanted.items() if key not in _MACHINE_FIELDS and saved.get(key) != value]
    if keys:
        differences = "; ".join(f"{key} was {saved.get(key)!r}, now {wanted[key]!r}" for key in keys)
        raise CheckpointError(
            f"{path} belongs to another run: {differences}. "
            "Use the same numbers to resume, or another output folder to start again.",
            path=path,
            expected={key: saved.get(key) for key in keys},
            found={key: wanted[key] for key in keys},
        )


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names start with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
