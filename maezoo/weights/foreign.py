"""Any weights file or folder, read as our tensors: safetensors, or a pickle that holds tensors and nothing else."""

import argparse
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maezoo.errors import IntegrityError, LayoutError, WeightsNotFoundError
from maezoo.listing import files_in
from maezoo.vocabulary import Layout
from maezoo.weights.configs import describe_folder
from maezoo.weights.description import Description
from maezoo.weights.known import recognise_file
from maezoo.weights.layouts import is_head, our_keys, recognise_layout
from maezoo.weights.metadata import WeightsMetadata
from maezoo.weights.reader import open_weights

__all__ = ["ForeignWeights", "read_foreign"]

_PICKLES = ("pytorch_model.bin", "model.pth", "checkpoint.pth")
_WRAPPERS = ("model", "state_dict", "model_state_dict")


@dataclass(frozen=True)
class ForeignWeights:
    """What was read.

    Attributes:
        path: the file.
        layout: its key layout.
        tensors: by our keys; heads are among them.
        dropped: the file's keys that were left out: poolers of transformers.
        description: what the file, or what stands beside it, says of it.
    """

    path: Path
    layout: Layout
    tensors: dict[str, Tensor]
    dropped: tuple[str, ...]
    description: Description


def read_foreign(path: Path) -> ForeignWeights:
    """Read a weights file, or the one in a folder, whatever its layout.

    Raises:
        WeightsNotFoundError: there is none.
        IntegrityError: it is damaged, or a pickle that holds more than tensors.
        LayoutError: it holds no state dict of a known layout.
    """
    file = _file_in(path)
    with file.open("rb") as start:
        pickled = start.read(2) in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
    raw, description = _read_pickle(file) if pickled else _read_safetensors(file)
    layout = recognise_layout(raw)
    sources, unknown = our_keys(raw, layout)
    strange = [key for key in unknown if not is_head(key)]
    if strange:
        raise LayoutError(
            f"{file} ({layout} layout) has keys that no masked autoencoder has: {', '.join(strange[:6])}."
        )
    tensors = {
        key: raw[names[0]] if len(names) == 1 else torch.cat([raw[name] for name in names])
        for key, names in sources.items()
    }
    described = description.filled_from(describe_folder(file.parent))
    return ForeignWeights(file, layout, tensors, unknown, described)


def _file_in(path: Path) -> Path:
    """Return the weights file that is meant."""
    if path.is_file():
        return path
    if not path.exists():
        raise WeightsNotFoundError(f"there is no file or folder {path}.")
    safe = [path / "model.safetensors", *files_in(path, ".safetensors")]
    for candidate in (*safe, *(path / name for name in _PICKLES)):
        if candidate.is_file():
            return candidate
    raise WeightsNotFoundError(f"{path} has no *.safetensors, {', '.join(_PICKLES)}; name the file.")


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], Description]:
    """Read all tensors, and what the header says."""
    with open_weights(path) as file:
        metadata = WeightsMetadata.from_header(file.header, path)
        tensors = {key: file.read(key) for key in file.keys}
    if metadata is None:
        return tensors, Description()
    return tensors, Description(
        metadata.variant, metadata.target, metadata.preprocess, metadata.license, metadata.origin
    )


def _read_pickle(path: Path) -> tuple[dict[str, Tensor], Description]:
    """Read a pickle's state dict; code in it is never run."""
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):  # FAIR's options
            warnings.simplefilter("ignore")  # that another pickle protocol may not be understood: then it is an error
            data = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise IntegrityError(
            f"{path} is refused: its pickle asks to run code, or holds more than tensors ({_first_line(error)}). "
            f"Save its state dict alone, as safetensors."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise IntegrityError(f"{path} is damaged or no file of PyTorch's: {_first_line(error)}") from error
    return _state_dict(path, data), recognise_file(path)


def _state_dict(path: Path, data: Any) -> dict[str, Tensor]:
    """Return the state dict in what a pickle held."""
    for name in _WRAPPERS:
        if isinstance(data, Mapping) and isinstance(data.get(name), Mapping):
            data = data[name]
    if not isinstance(data, Mapping) or not all(isinstance(value, Tensor) for value in data.values()):
        raise LayoutError(
            f"{path} holds no state dict: neither tensors by name, nor those under {', '.join(_WRAPPERS)}."
        )
    return {key.removeprefix("module."): tensor for key, tensor in data.items()}


def _first_line(error: Exception) -> str:
    """Return an error's first line: torch explains at length how to read such files nevertheless."""
    return (
        str(error).strip().splitlines()[0].partition(". This file can still")[0] if str(error) else type(error).__name__
    )
