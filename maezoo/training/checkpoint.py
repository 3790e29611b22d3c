"""Checkpoints: one safetensors file that holds a run's weights, averages, optimizer state and recipe."""

import copy
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from maezoo.checkpoints.load import load_file_into
from maezoo.checkpoints.reader import open_weights
from maezoo.errors import CheckpointError, DivergedError
from maezoo.files import sha256_of, write_safetensors
from maezoo.model import MaskedAutoencoder
from maezoo.training.optimizers import Optimizers
from maezoo.training.recipe import Recipe
from maezoo.vocabulary import Part

__all__ = ["load_checkpoint", "load_start", "not_finite", "read_checkpoint", "save_checkpoint", "take_over"]

_log = logging.getLogger(__name__)

_MACHINE_FIELDS = frozenset({"precision"})  # a run may be resumed on another kind of machine
_MUST_AGREE = ("model", "target", "optimizer", "classes", "tune", "lora", "pool")  # where another run continues it


def save_checkpoint(
    path: Path, model: nn.Module, ema: dict[str, Tensor], optimizers: Optimizers, *, step: int, facts: dict[str, Any]
) -> None:
    """Write the complete state of a run after `step` steps; the file appears complete or not at all.

    Args:
        path: the file to make or replace.
        model: what is trained, with its loss.
        ema: averages of its trainable parameters, by name.
        optimizers: of it.
        step: steps done.
        facts: what decides the run's result, as plain data; a run is resumed only with the same.

    Raises:
        DivergedError: a number in it is NaN or infinite; the file that is there stays.
    """
    tensors = {f"model/{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"ema/{name}": value for name, value in ema.items()}
    tensors |= {f"optimizer/{name}": value for name, value in optimizers.tensors()}
    wrong = not_finite(tensors)
    if wrong:
        raise DivergedError(f"{wrong} became NaN or infinite by step {step}")
    write_safetensors(path, tensors, {"step": str(step), "recipe": json.dumps(facts)})


def load_checkpoint(
    path: Path, model: nn.Module, ema: dict[str, Tensor], optimizers: Optimizers, *, facts: dict[str, Any]
) -> int:
    """Resume a run from a checkpoint, in place.

    Returns:
        The number of steps done.

    Raises:
        CheckpointError: the file is damaged or belongs to a run with another recipe.
    """
    step, saved, tensors = _read(path)
    _check_facts(path, saved, facts)
    _place_all(path, tensors, model, ema, optimizers)
    return step


def take_over(
    path: Path, model: nn.Module, ema: dict[str, Tensor], optimizers: Optimizers, *, facts: dict[str, Any]
) -> int:
    """Continue another run's checkpoint with other numbers, in place.

    The model, its target, the optimizer and, of a classifier, the classes must be the same, and so each tensor's name
    and shape. All else may differ: rates, decays, batch size, views, crops, masks, seed, precision, images.

    Returns:
        The number of steps done: the images that were shown, in batches of the new size.

    Raises:
        CheckpointError: the file is damaged, or what must be the same is not.
    """
    step, saved, tensors = _read(path)
    _check_facts(path, saved, {key: facts[key] for key in _MUST_AGREE if key in facts})
    found = {name: tuple(value.shape) for name, value in _below("model/", tensors).items()}
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    wrong = next((name for name in [*wanted, *found] if found.get(name) != wanted.get(name)), None)
    if wrong is not None:
        raise CheckpointError(
            f"{path} belongs to a model of another shape: {wrong} is {found.get(wrong, 'not there')}, and "
            f"{wanted.get(wrong, 'not there')} in this run. Resume it with the shape that it was trained in.",
            path=path,
            expected=wanted.get(wrong),
            found=found.get(wrong),
        )
    _place_all(path, tensors, model, ema, optimizers)
    batch = int(facts["batch_size"])
    return step * int(saved.get("batch_size", batch)) // batch


def read_checkpoint(path: Path) -> tuple[int, dict[str, Any]]:
    """Return the steps done and the facts of a checkpoint.

    Raises:
        CheckpointError: the file is damaged or something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        return int(metadata["step"]), dict(json.loads(metadata["recipe"]))
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise _no_checkpoint(path, error) from error


def _read(path: Path) -> tuple[int, dict[str, Any], dict[str, Tensor]]:
    """Return the steps done, the facts and the tensors of a checkpoint."""
    step, saved = read_checkpoint(path)
    try:
        with safe_open(path, framework="pt") as file:
            return step, saved, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise _no_checkpoint(path, error) from error


def _no_checkpoint(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError.about(path, f"is no checkpoint of a training run: {error}. Remove it to start again.")


def _place_all(
    path: Path, tensors: dict[str, Tensor], model: nn.Module, ema: dict[str, Tensor], optimizers: Optimizers
) -> None:
    """Put the tensors of a checkpoint where they belong."""
    wrong = not_finite(tensors)
    if wrong:
        raise CheckpointError(
            f"{path} holds a run that diverged: {wrong} is NaN or infinite. Remove it to start again."
        )
    model.load_state_dict(_below("model/", tensors))
    with torch.no_grad():
        for name, value in _below("ema/", tensors).items():
            ema[name].copy_(value)
    optimizers.restore(_below("optimizer/", tensors))


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first tensor that holds NaN or infinity.

    Example:
        >>> not_finite({"a": torch.zeros(2), "b": torch.tensor([1.0, float("nan")])})
        'b'
    """
    return next((name for name, value in tensors.items() if not bool(torch.isfinite(value).all())), None)


def load_start(path: Path | None, *, recipe: Recipe, model: MaskedAutoencoder) -> None:
    """Load the weights that a recipe starts from, in place; nothing where it starts from random ones.

    A decoder of another shape than the model's is left out: the model keeps its own, untrained one.

    Raises:
        CheckpointError: the path is missing or of another file than the recipe names.
        LayoutError: the file's weights do not fit the model.
    """
    if path is None and not recipe.start_from:
        return
    found = "" if path is None else sha256_of(path)
    if path is None or found != recipe.start_from:
        raise CheckpointError(
            f"the recipe starts from weights with the sha256 {recipe.start_from or '(none)'}; "
            f"start_from={path} has {found or '(none)'}.",
            path=path,
            expected=recipe.start_from,
            found=found,
        )
    loaded = copy.deepcopy(model)
    parts: tuple[Part, ...] = ("encoder", "decoder") if _has_decoder_of(path, model) else ("encoder",)
    load_file_into(loaded, path, parts=parts)
    _log.info("starting from the %s of %s", " and the ".join(parts), path.name)
    model.load_state_dict(loaded.state_dict())  # in place: optimizers already hold these parameters


def _has_decoder_of(path: Path, model: MaskedAutoencoder) -> bool:
    """Tell whether a file's decoder has the shape of a model's."""
    wanted = {key: tuple(value.shape) for key, value in model.state_dict().items() if key.startswith("decoder.")}
    with open_weights(path) as file:
        return {key: file.shape(key) for key in file.keys if key.startswith("decoder.")} == wanted


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


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names start with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
