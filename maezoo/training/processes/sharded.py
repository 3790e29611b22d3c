"""Checkpoints of runs whose weights are shared out: a folder of safetensors files, one of each process.

They are written and read by torch.distributed.checkpoint, for any number of processes.
"""

import json
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.tensor import DTensor, distribute_tensor

from maezoo.errors import CheckpointError
from maezoo.files import errors_named, written_whole
from maezoo.training.processes.processes import Processes

__all__ = [
    "is_shared_out",
    "local_part",
    "placed_as",
    "read_facts",
    "read_shares",
    "whole",
    "write_shares",
]

_FACTS = "checkpoint.json"  # written last: a folder that has it is complete


def local_part(tensor: Tensor) -> Tensor:
    """Return the part of a tensor that this process has; all of it, unless it is shared out."""
    part: Tensor = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return part


def whole(tensor: Tensor) -> Tensor:
    """Return all of a tensor, gathered from all processes where it is shared out."""
    full: Tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return full


def placed_as(value: Tensor, parameter: Tensor) -> Tensor:
    """Return a value that belongs to a parameter on its device; of its shape, shared out like it."""
    if isinstance(parameter, DTensor) and not isinstance(value, DTensor) and value.shape == parameter.shape:
        mesh, placements = parameter.device_mesh, parameter.placements
        return distribute_tensor(value.to(parameter.device), mesh, placements, src_data_rank=None)
    return value.to(parameter.device)


def is_shared_out(path: Path) -> bool:
    """Tell whether a path is a checkpoint of shares."""
    return (path / _FACTS).is_file()


def write_shares(
    path: Path, tensors: Mapping[str, Tensor], *, step: int, facts: dict[str, Any], processes: Processes
) -> None:
    """Write a folder of shares, each process its own; it appears complete or not at all.

    Args:
        path: the folder to make, on a disk that all processes share.
        tensors: by name; those that are not shared out are written once.
        step: steps done.
        facts: what decides the run's result.
        processes: all of them call this.

    Raises:
        DiskFullError: no room for it.
    """
    partial = path.with_name(f".{path.name}.partial")
    if processes.first:
        for left in (partial, path):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        partial.mkdir()
    processes.wait()
    with errors_named(partial):
        try:
            writer = HuggingFaceStorageWriter(str(partial), save_distributed=True)
            save(dict(tensors), storage_writer=writer, process_group=processes.group)
        except CheckpointException as error:  # in all processes
            if processes.first:
                shutil.rmtree(partial, ignore_errors=True)
            raise next(cause for cause, _ in error.failures.values()) from error
    if processes.first:
        with written_whole(partial / _FACTS) as temporary:
            temporary.write_text(json.dumps({"step": step, "recipe": facts}), encoding="utf-8")
        partial.rename(path)
    processes.wait()


def read_facts(folder: Path) -> dict[str, Any]:
    """Return the `step` and `recipe` of a folder of shares.

    Raises:
        CheckpointError: it is damaged.
    """
    try:
        found = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        return {"step": int(found["step"]), "recipe": dict(found["recipe"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, error) from error


def read_shares(folder: Path, like: Callable[[str], Tensor | None]) -> dict[str, Tensor]:
    """Read a folder of shares that any number of processes wrote.

    Args:
        folder: as `write_shares` made it.
        like: gives the parameter that a name belongs to. A tensor of its shape is shared out like it.

    Raises:
        CheckpointError: it is damaged.
    """
    try:
        found = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
        tensors = {name: _room_for(told, like(name)) for name, told in found.items()}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)  # as is wanted here
            reader = HuggingFaceStorageReader(str(folder))
            load(tensors, storage_reader=reader, no_dist=not dist.is_initialized())
    except (CheckpointException, OSError, ValueError, KeyError) as error:
        raise _damaged(folder, error) from error
    return tensors


def _room_for(told: Any, parameter: Tensor | None) -> Tensor:
    """Return an empty tensor for what a folder holds."""
    if parameter is not None and told.size == parameter.shape:
        return torch.empty_like(parameter, dtype=told.properties.dtype, requires_grad=False)
    return torch.empty(told.size, dtype=told.properties.dtype, device="cpu")


def _damaged(folder: Path, error: BaseException) -> CheckpointError:
    message = f"is no checkpoint of a training run: {error}. Remove it to start again."
    return CheckpointError.about(folder, message)
