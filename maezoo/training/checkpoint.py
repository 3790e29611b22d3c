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
from maezoo.training.optimizers import Optimizers
from maezoo.training.processes.division import Division
from maezoo.training.processes.sharded import local_part, placed_as, read_facts, read_shares, write_shares

__all__ = ["State", "load_checkpoint", "not_finite", "read_checkpoint", "save_checkpoint", "take_over"]

_WHOLE = Division()
_NAMED = 5  # classes that an error lists
_MACHINE_FIELDS = frozenset({"precision"})  # a run may be resumed on another kind of machine
_MUST_AGREE = ("model", "target", "optimizer", "classes", "tune", "lora", "pool")  # where another run continues it


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


def save_checkpoint(path: Path, state: State, *, step: int, facts: dict[str, Any], division: Division = _WHOLE) -> None:
    """Write the complete state of a run after `step` steps; it appears complete or not at all.

    Args:
        path: the file to make or replace; of weights that are shared out, the folder to make.
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
        write_shares(path, tensors, step=step, facts=facts, processes=processes)
        return
    if processes.first:
        write_safetensors(path, tensors, {"step": str(step), "recipe": json.dumps(facts)})
    processes.wait()


def load_checkpoint(path: Path, state: State, *, facts: dict[str, Any]) -> int:
    """Resume a run from a checkpoint, in place.

    Returns:
        The number of steps done.

    Raises:
        CheckpointError: the checkpoint is damaged or belongs to a run with another recipe.
    """
    step, saved = read_checkpoint(path)
    _check_facts(path, saved, facts)
    _restore(path, state)
    return step


def take_over(path: Path, state: State, *, facts: dict[str, Any]) -> int:
    """Continue another run's checkpoint with other numbers, in place.

    The model, its target, the optimizer and, of a classifier, the classes must be the same, and so each tensor's name
    and shape. All else may differ: rates, decays, batch size, views, crops, masks, seed, precision, images.

    Returns:
        The number of steps done: the images that were shown, in batches of the new size.

    Raises:
        CheckpointError: the checkpoint is damaged, or what must be the same is not.
    """
    step, saved = read_checkpoint(path)
    _check_facts(path, saved, {key: facts[key] for key in _MUST_AGREE if key in facts})
    _restore(path, state)
    batch = int(facts["batch_size"])
    return step * int(saved.get("batch_size", batch)) // batch


def read_checkpoint(path: Path) -> tuple[int, dict[str, Any]]:
    """Return the steps done and the facts of a checkpoint.

    Raises:
        CheckpointError: it is damaged or something else.
    """
    if path.is_dir():
        found = read_facts(path)
        return int(found["step"]), dict(found["recipe"])
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        return int(metadata["step"]), dict(json.loads(metadata["recipe"]))
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise _damaged(path, error) from error


def _restore(path: Path, state: State) -> None:
    """Put the tensors of a checkpoint where they belong, if all of them fit."""
    tensors = read_shares(path, state.parameter) if path.is_dir() else _read(path)
    wrong = not_finite(tensors)
    if wrong:
        raise CheckpointError(
            f"{path} holds a run that diverged: {wrong} is NaN or infinite. Remove it to start again."
        )
    found = {name: tuple(value.shape) for name, value in _below("model/", tensors).items()}
    wanted = {name: tuple(value.shape) for name, value in state.objective.state_dict().items()}
    other = next((name for name in [*wanted, *found] if found.get(name) != wanted.get(name)), None)
    if other is not None:
        raise CheckpointError(
            f"{path} belongs to a model of another shape: {other} is {found.get(other, 'not there')}, and "
            f"{wanted.get(other, 'not there')} in this run. Resume it with the shape that it was trained in.",
            path=path,
            expected=wanted.get(other),
            found=found.get(other),
        )
    state.restore(tensors)


def _read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file."""
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError.about(path, f"is no checkpoint of a training run: {error}. Remove it to start again.")


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first tensor that holds NaN or infinity.

    Example:
        >>> not_finite({"a": torch.zeros(2), "b": torch.tensor([1.0, float("nan")])})
        'b'
    """
    return next((name for name, value in tensors.items() if not bool(torch.isfinite(local_part(value)).all())), None)


def _check_facts(path: Path, saved: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse a checkpoint of another recipe, naming what differs."""
    keys = [key for key, value in wanted.items() if key not in _MACHINE_FIELDS and _differ(saved.get(key), value)]
    if keys:
        differences = "; ".join(_difference(key, saved.get(key), wanted[key]) for key in keys)
        others = ""
        if "images" in keys and not set(keys).intersection(_MUST_AGREE):
            others = f", or continue it with these images: --resume-from {path} -o ANOTHER_FOLDER"
        raise CheckpointError(
            f"{path} belongs to another run: {differences}. "
            f"Use the same ones to resume, or another output folder to start again{others}.",
            path=path,
            expected={key: saved.get(key) for key in keys},
            found={key: wanted[key] for key in keys},
        )


def _differ(was: Any, now: Any) -> bool:
    """Tell whether a fact differs; of fingerprints, what both have: a source of the user's may give a number alone."""
    if isinstance(was, dict) and isinstance(now, dict):
        return any(was[part] != now[part] for part in was.keys() & now.keys())
    return bool(was != now)


def _difference(key: str, was: Any, now: Any) -> str:
    """Say in words how a fact of a run differs from that of a checkpoint."""
    if isinstance(was, dict) and isinstance(now, dict):  # the fingerprint of images
        if was.get("count") != now.get("count"):
            return f"{key}: there were {was.get('count')}, now {now.get('count')}"
        return f"{key}: " + ("files" if was.get("names") == now.get("names") else "names, labels or order") + " differ"
    if key == "classes" and isinstance(was, list) and isinstance(now, list):
        changes = (("new", set(now) - set(map(str, was))), ("gone", set(map(str, was)) - set(now)))
        said = ", ".join(f"{what} {_some(names)}" for what, names in changes if names)
        return f"{key}: {said or 'in another order'}"
    return f"{key} was {was!r}, now {now!r}"


def _some(names: set[str]) -> str:
    shown = sorted(names)[:_NAMED]
    return ", ".join(map(repr, shown)) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names start with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
