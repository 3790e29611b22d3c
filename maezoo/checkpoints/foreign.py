"""Any weights file or folder, read as our tensors: safetensors, or a pickle that holds tensors and nothing else."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from maezoo.checkpoints.configs import configured_epsilon
from maezoo.checkpoints.filetype import holds_pickle
from maezoo.checkpoints.folders import PICKLES, WEIGHTS, describe_folder, weights_in
from maezoo.checkpoints.frames import image_tensors, is_of_videos
from maezoo.checkpoints.index import INDEX, read_index
from maezoo.checkpoints.layouts import is_head, our_keys, recognise_layout
from maezoo.checkpoints.naming import StateDict, find_state_dict
from maezoo.checkpoints.pickles import load_pickle
from maezoo.checkpoints.reader import open_weights
from maezoo.errors import IntegrityError, LayoutError, WeightsNotFoundError
from maezoo.listing import files_in
from maezoo.manifest.description import Description, recognise_file
from maezoo.model.facts import VIDEO
from maezoo.vocabulary import Layout

__all__ = ["ForeignWeights", "read_foreign"]

_PLACE = "/"  # between the name of a dictionary and a name in it
_DEEPEST = 8  # dictionaries in dictionaries that a state dict is looked for in
_MOST_ENTRIES = 1_000_000  # of all these dictionaries


@dataclass(frozen=True)
class ForeignWeights:
    """What was read.

    Attributes:
        path: the file.
        layout: its key layout.
        tensors: by our keys; heads are among them.
        dropped: the file's keys that were left out: poolers of transformers, parts of a larger model.
        description: what the file, or a configuration next to it, says of it.
        taken: the prefix, or the place in a pickle, of the state dict that was read; empty where there is none.
        others: the other state dicts in the file.
        norm_epsilon: what the norms add to a variance; `None` where that is not said.
    """

    path: Path
    layout: Layout
    tensors: dict[str, Tensor]
    dropped: tuple[str, ...]
    description: Description
    taken: str = ""
    others: tuple[str, ...] = ()
    norm_epsilon: float | None = None


class _Read(NamedTuple):
    """What one kind of file gave: tensors, their names in it, and what it says of itself."""

    tensors: dict[str, Tensor]
    found: StateDict
    description: Description
    norm_epsilon: float | None = None


def read_foreign(path: Path, *, take: str | None = None, alone: bool = False) -> ForeignWeights:
    """Read a weights file, or the one in a folder, whatever its layout.

    Args:
        path: the file, an index of several, or a folder.
        take: which of several state dicts in it, such as `"model_ema"`; `None` is the model before its average.
        alone: nobody changes the file, and all is known of it: configuration files next to it and its hash are not
            looked at, and of a pickle only the tensors that are used are read.

    Raises:
        WeightsNotFoundError: there is none, or it is not clear which is meant.
        IntegrityError: it is damaged, something else than weights, or a pickle that holds more than tensors.
        LayoutError: it holds no state dict of a known layout, or several and it is not clear which is meant.
    """
    file = _file_in(path)
    pickles = file.name.endswith(".bin.index.json") or holds_pickle(file)
    raw, found, description, epsilon = _read_pickles(file, take, alone) if pickles else _read_safetensors(file, take)
    layout = recognise_layout(raw)
    sources, unknown = our_keys(raw, layout)
    strange = [key for key in unknown if not is_head(key)]
    if strange:
        message = f"{file} ({layout} layout) has keys that no masked autoencoder has: {', '.join(strange[:6])}."
        raise LayoutError(message, path=file, found=tuple(strange))
    tensors = {
        key: raw[names[0]] if len(names) == 1 else torch.cat([raw[name] for name in names])
        for key, names in sources.items()
    }
    described = description if alone else description.filled_from(describe_folder(file.parent))
    if layout == "transformers" and not alone:
        epsilon = epsilon or configured_epsilon(file)
    dropped = (*unknown, *found.outside)
    return ForeignWeights(file, layout, tensors, dropped, described, found.taken, found.others, epsilon)


def _file_in(path: Path) -> Path:
    """Return the weights file that is meant."""
    if path.is_file():
        return path
    if not path.exists():
        raise WeightsNotFoundError(f"there is no file or folder {path}.", path=path)
    if not path.is_dir():
        raise IntegrityError(f"{path} is not a regular file.", path=path)
    if files_in(path, ".safetensors") or (path / f"{WEIGHTS}{INDEX}").is_file():
        return weights_in(path)
    for name in PICKLES:
        if (path / name).is_file():
            return path / name
    message = f"{path} is a folder and has no *.safetensors, {', '.join(PICKLES)}; name the file."
    raise WeightsNotFoundError(message, path=path, expected=("*.safetensors", *PICKLES))


def _read_safetensors(path: Path, take: str | None) -> _Read:
    """Read the tensors of a state dict, and what the header says."""
    with open_weights(path, take=take) as file:
        metadata = file.metadata
        tensors = {key: file.read(key) for key in file.keys}
        found, of_videos = file.naming, file.is_of_videos
    if metadata is None:
        tensors = image_tensors(tensors, of_videos=of_videos)
        return _Read(tensors, found, Description(facts=VIDEO if of_videos else None))
    description = Description(
        metadata.variant,
        metadata.target,
        metadata.preprocess,
        metadata.license,
        metadata.origin,
        metadata.facts,
    )
    return _Read(tensors, found, description, metadata.facts.norm_epsilon)


def _read_pickles(path: Path, take: str | None, alone: bool) -> _Read:
    """Read a state dict of PyTorch's, from one file or from those of an index."""
    files = sorted(set(read_index(path).values())) if path.name.endswith(".json") else [path]
    tensors: dict[str, Tensor] = {}
    for file in files:
        tensors |= _tensors_in(load_pickle(file, mapped=alone), file)
    nameless = tuple(name for name in tensors if name.endswith("]"))
    found = find_state_dict([name for name in tensors if name not in nameless], take, path)
    if not found.names or any(_PLACE in name for name in found.names):
        shown = f"; it has {', '.join(list(tensors)[:5])}, …" if tensors else ""
        message = f"{path} holds no state dict of a ViT, nor does a dictionary in it{shown}."
        raise LayoutError(message, path=path, found=tuple(tensors))
    top = found.taken.partition(_PLACE)[0]
    outside = tuple(key for key in found.outside if _PLACE not in key or key.partition(_PLACE)[0] == top)
    chosen = {key: tensors[name] for key, name in found.names.items()}
    _require_plain(chosen, path)
    description = recognise_file(path) if files == [path] and not alone else Description()
    of_videos = any(is_of_videos(key, tuple(tensor.shape)) for key, tensor in chosen.items())
    description = description.filled_from(Description(facts=VIDEO if of_videos else None))
    chosen = image_tensors(chosen, of_videos=of_videos)
    return _Read(chosen, replace(found, outside=(*outside, *nameless)), description)


def _tensors_in(data: Any, path: Path) -> dict[str, Tensor]:
    """Return the tensors in dictionaries in dictionaries, by their places: `model/norm.bias`; `[3]` for other keys.

    Raises:
        LayoutError: it has more entries than any checkpoint, as a small file can that refers to one dictionary often.
    """
    found: dict[str, Tensor] = {}
    for number, (place, value) in enumerate(_entries_in(data)):
        if number >= _MOST_ENTRIES:
            message = f"{path} holds more than {_MOST_ENTRIES:,} entries in its dictionaries: no checkpoint of a ViT."
            raise LayoutError(message, path=path, expected=_MOST_ENTRIES)
        if isinstance(value, Tensor):
            found[place] = value.detach()
    return found


def _entries_in(data: Any, place: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield what is in dictionaries in dictionaries, each with its place."""
    if isinstance(data, Mapping) and depth < _DEEPEST:
        for key, value in data.items():
            yield (f"{place}{key}" if isinstance(key, str) else f"{place}[{key!r}]"), value
            yield from _entries_in(value, f"{place}{key}{_PLACE}", depth + 1)


def _require_plain(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors that are not an array of as many numbers as their shape says, which a pickle can hold.

    Raises:
        LayoutError: one is sparse, has no values, or repeats a few of them; the message names it.
    """
    for key, tensor in tensors.items():
        dense = tensor.layout is torch.strided and not tensor.is_meta
        if not dense or tensor.nbytes > tensor.untyped_storage().nbytes():
            message = f"{path}: {key} is sparse, has no values, or repeats a few; save tensor.to_dense().clone()."
            raise LayoutError(message, path=path, found=key)
