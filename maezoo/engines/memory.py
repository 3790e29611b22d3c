"""The choices of earlier runs, one small JSON file each in a folder of the user's cache."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from maezoo.engines.plan import TaskPlan
from maezoo.files import parse_json, written_whole

__all__ = ["fingerprint", "recall", "remember"]


def recall(folder: Path | None, key: Mapping[str, Any]) -> TaskPlan | None:
    """Return the choice that was remembered under a key; `None` when there is none that can be read."""
    if folder is None:
        return None
    try:
        record = parse_json(_place(folder, key).read_text(encoding="utf-8"))
        return TaskPlan.from_dict(record["plan"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(folder: Path | None, key: Mapping[str, Any], plan: TaskPlan) -> bool:
    """Keep a choice under a key; return whether the folder could be written."""
    if folder is None:
        return False
    path = _place(folder, key)
    try:
        with written_whole(path) as temporary:
            temporary.write_text(json.dumps({"key": key, "plan": plan.to_dict()}, indent=1), encoding="utf-8")
    except OSError:
        return False
    return True


def fingerprint(module: nn.Module) -> str:
    """Return a short digest of a module's shapes and values, quick enough for large models.

    Example:
        >>> fingerprint(nn.Linear(2, 2)) == fingerprint(nn.Linear(2, 2))
        False
    """
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        sums = torch.stack([tensor.detach().float().sum(), tensor.detach().float().abs().sum()]).tolist()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} {sums}".encode())
    return digest.hexdigest()[:16]


def _place(folder: Path, key: Mapping[str, Any]) -> Path:
    text = json.dumps(key, sort_keys=True)
    return folder / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"
