"""Safetensors files, one or several with an index, opened; whatever is wrong with one is an error of maezoo."""

import functools
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from maezoo.checkpoints.filetype import name_kind
from maezoo.checkpoints.frames import flat_shape, is_of_videos, rows_of, with_class_tokens_apart
from maezoo.checkpoints.index import INDEX, read_index
from maezoo.checkpoints.layouts import canonical_key, foreign_keys, our_keys, recognise_layout
from maezoo.checkpoints.metadata import DECODER, DECODER_KEY, SOURCE_KEY, WeightsMetadata
from maezoo.checkpoints.naming import StateDict, find_state_dict
from maezoo.checkpoints.pairs import join_decoder
from maezoo.checkpoints.shard import Shard
from maezoo.errors import IntegrityError, LayoutError, MaezooError, WeightsNotFoundError
from maezoo.vocabulary import Layout

__all__ = ["WeightsFile", "open_weights"]

_PACKED = frozenset({"F4", "F6_E2M3", "F6_E3M2"})  # safetensors' names


@dataclass(frozen=True)
class WeightsFile:
    """An open safetensors file, or several with an index; leaving its `with` statement closes it.

    Attributes:
        path: of the file, or of the index.
        keys: its tensors' names, without what wrappers put before them.
        header: its metadata.
        mapped: whether tensors are parts of the mapped file; else they are copies that outlive any change to it.
        naming: what the file itself calls its tensors, and what else is in it.
    """

    path: Path
    keys: tuple[str, ...]
    header: Mapping[str, str]
    mapped: bool
    naming: StateDict
    _shards: Mapping[str, Shard]
    _open: ExitStack

    def __enter__(self) -> "WeightsFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it; tensors that were read stay."""
        self._open.close()

    @functools.cached_property
    def layout(self) -> Layout:
        """How it names its tensors.

        Raises:
            LayoutError: as in no known layout.
        """
        return recognise_layout(self.keys)

    @property
    def splits_decoder(self) -> bool:
        """Whether it is an encoder whose decoder has a file of its own, which need not be there."""
        return DECODER_KEY in self.header

    @property
    def is_converted(self) -> bool:
        """Whether it is our copy of a file that was published in another format."""
        return SOURCE_KEY in self.header

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that its tensors are in; an index for those that it names."""
        return (self.path,) if self.path.name.endswith(INDEX) else tuple({s.path: None for s in self._shards.values()})

    @functools.cached_property
    def metadata(self) -> WeightsMetadata | None:
        """What its header says of it, if that is ours.

        Raises:
            LayoutError: it claims to be ours and cannot be read.
        """
        return WeightsMetadata.from_header(self.header, self.path)

    @functools.cached_property
    def is_of_videos(self) -> bool:
        """Whether its patch embedding is one of videos; it is read as one of images, and its positions are no use."""
        return any(is_of_videos(key, self._raw_shape(key)) for key in self.keys if key.endswith(".weight"))

    def shapes(self, layout: Layout) -> dict[str, tuple[int, ...]]:
        """Return the shapes of its tensors by our keys, nothing read."""
        return {key: self.shape(*names) for key, names in our_keys(self.keys, layout).sources.items()}

    def channels(self, layout: Layout) -> int | None:
        """Return the channels C that its patch embedding takes; `None` where it has none."""
        (wanted,) = foreign_keys("encoder.patch_embed.proj.weight", layout)
        filters = next((self.shape(key) for key in self.keys if canonical_key(key, layout) == wanted), ())
        return filters[1] if len(filters) == 4 else None

    def shape(self, *keys: str) -> tuple[int, ...]:
        """Return the shape of a tensor, or of several joined along the first axis, without reading them."""
        first, *rest = (self._shape(key) for key in keys)
        return (sum((shape[0] for shape in rest), first[0]), *first[1:]) if rest else first

    def _shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of a tensor as that of a model of images."""
        shape, rows = flat_shape(key, self._raw_shape(key)), rows_of(key, self.naming.names)
        return shape if rows is None else (shape[0], len(range(shape[1])[rows]), *shape[2:])

    def _raw_shape(self, key: str) -> tuple[int, ...]:
        return tuple(self._slice(key).get_shape())

    def read(self, *keys: str) -> Tensor:
        """Return one tensor, or several joined along the first axis.

        Raises:
            LayoutError: tensors to be joined differ in dtype or in the other axes, or hold numbers of half a byte.
            IntegrityError: the file became shorter meanwhile.
        """
        with _reading(self.path):
            self._refuse_packed(keys)
            if len(keys) > 1:
                return self._read_bytes(keys)
            raw = self.naming.names[keys[0]]
            tensor = self._shards[raw].handle.get_tensor(raw) if self.mapped else self._copied(keys)
            rows = rows_of(keys[0], self.naming.names)
            return (tensor if rows is None else tensor[:, rows]).reshape(self.shape(*keys))

    def _refuse_packed(self, keys: tuple[str, ...]) -> None:
        """Refuse numbers of less than a byte: PyTorch has several of them in one element."""
        packed = [key for key in keys if self._slice(key).get_dtype() in _PACKED]
        if packed:
            message = f"{self.path}: {packed[0]} has numbers of less than a byte, which maezoo does not read."
            raise LayoutError(message, path=self.path, found=packed[0])

    def _copied(self, keys: tuple[str, ...]) -> Tensor:
        """Return one tensor, copied."""
        if self._raw_shape(keys[0]):
            return self._read_bytes(keys)
        raw = self.naming.names[keys[0]]
        tensor: Tensor = self._shards[raw].handle.get_tensor(raw)
        return tensor.clone()

    def _slice(self, key: str) -> Any:
        name = self.naming.names[key]
        return self._shards[name].slice(name)

    def _read_bytes(self, keys: tuple[str, ...]) -> Tensor:
        """Read tensors one after the other into memory of their own; pages mapped meanwhile would stay in memory."""
        shapes = [self._raw_shape(key) for key in keys]
        kinds = {(self._slice(key).get_dtype(), shape[1:]) for key, shape in zip(keys, shapes, strict=True)}
        if len(kinds) > 1 or not shapes[0]:
            message = f"{self.path}: {', '.join(keys)} cannot be joined: shapes {shapes} or dtypes differ."
            raise LayoutError(message, path=self.path, found=tuple(shapes))
        dtype: torch.dtype = self._slice(keys[0])[:0].dtype
        names = [self.naming.names[key] for key in keys]
        sizes = [self._shards[name].spans[name][1] for name in names]
        buffer: Any = np.empty(sum(sizes), np.uint8)  # by NumPy, which asks for huge pages
        room = memoryview(buffer)
        for name, size in zip(names, sizes, strict=True):
            self._shards[name].copy_into(room[:size], name)
            room = room[size:]
        joined = (sum(shape[0] for shape in shapes), *shapes[0][1:])
        if not buffer.size:
            return torch.empty(joined, dtype=dtype)
        return torch.from_numpy(buffer).view(dtype).view(joined)


def open_weights(path: Path, *, mapped: bool = False, take: str | None = None) -> WeightsFile:
    """Open a safetensors file, or several by their index (`model.safetensors.index.json`).

    An encoder whose decoder has a file of its own, as in the folders that maezoo writes, is opened with it.

    Args:
        path: the file or the index.
        mapped: give tensors as parts of the mapped file: for files that nobody changes, such as those of the cache.
        take: which of several state dicts in it; `None` is the model itself before an average of it.

    Returns:
        The file, to be closed or used in a `with` statement.

    Raises:
        WeightsNotFoundError: no such file.
        IntegrityError: not a safetensors file, or a damaged one: its header is too long, or its offsets overlap, leave
            holes or lead outside; the message says what it is instead.
        LayoutError: it holds no state dict of that name, or several and it is not clear which is meant.
    """
    if path.is_dir():
        message = f"{path} is a folder; name the file in it, or use 'local-dir:{path}'."
        raise WeightsNotFoundError(message, path=path)
    if path.exists() and not path.is_file():
        raise IntegrityError(f"{path} is not a regular file.", path=path)
    homes = read_index(path) if path.name.endswith(INDEX) else None
    with _reading(path), ExitStack() as stack:
        shards = {
            file: Shard(file, stack.enter_context(safe_open(file, framework="pt")))
            for file in dict.fromkeys(homes.values() if homes is not None else [path])
        }
        header = next(iter(shards.values())).handle.metadata() or {}
        decoder = path.parent / DECODER
        if DECODER_KEY in header and homes is None and decoder.is_file():
            with _reading(decoder):
                shards[decoder] = Shard(decoder, stack.enter_context(safe_open(decoder, framework="pt")))
            keys = [tuple(shard.handle.keys()) for shard in shards.values()]
            naming = join_decoder(path, header, keys[0], shards[decoder].handle.metadata() or {}, keys[1])
            places = {key: shard for shard, theirs in zip(shards.values(), keys, strict=True) for key in theirs}
        else:
            places = _places(path, shards, homes)
            naming = find_state_dict(places, take, path)
            unnamed = [key for shard in shards.values() for key in shard.handle.keys() if key not in places]  # noqa: SIM118
            naming = replace(naming, outside=(*naming.outside, *unnamed))
        tokens = {
            raw: tuple(shard.slice(raw).get_shape()) for raw, shard in places.items() if raw.endswith("cls_token")
        }
        naming = replace(naming, names=with_class_tokens_apart(naming.names, tokens))
        return WeightsFile(path, tuple(naming.names), header, mapped, naming, places, stack.pop_all())


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn safetensors' errors into ours."""
    try:
        yield
    except MaezooError:
        raise
    except FileNotFoundError as error:
        raise WeightsNotFoundError(f"there is no file {path}.", path=path) from error
    except SafetensorError as error:
        kind = name_kind(path)
        if kind == "a PyTorch file":
            message = f"{path} is a PyTorch file; `maezoo convert` makes a safetensors one of it."
            raise IntegrityError(message, path=path, found=kind, command="maezoo convert") from error
        if kind is not None:
            raise IntegrityError(
                f"{path} is not a whole safetensors file but {kind}.", path=path, found=kind
            ) from error
        raise IntegrityError(
            f"{path} is not a whole safetensors file: {error}. Fetch it again; `maezoo convert` reads .pth files.",
            path=path,
            reason=str(error),
        ) from error


def _places(path: Path, shards: Mapping[Path, Shard], homes: Mapping[str, Path] | None) -> dict[str, Shard]:
    """Return which file each tensor is in."""
    if homes is None:
        return {key: shard for shard in shards.values() for key in shard.handle.keys()}  # noqa: SIM118 - not a mapping
    present = {file: frozenset(shard.handle.keys()) for file, shard in shards.items()}
    absent = [f"{key} ({file.name})" for key, file in homes.items() if key not in present[file]]
    if absent:
        message = f"{path} names tensors that its files lack: {', '.join(absent[:6])}."
        raise IntegrityError(message, path=path, expected=tuple(absent))
    return {key: shards[file] for key, file in homes.items()}
