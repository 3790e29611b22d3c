"""File to model: streamed, strict, and with a report of what became of every key."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from timm.models._manipulate import adapt_input_conv
from torch import Tensor

from maezoo.errors import IntegrityError, LayoutError, WeightsNotFoundError
from maezoo.model import MaskedAutoencoder, resize_positions
from maezoo.vocabulary import PARTS, Layout, Part
from maezoo.weights.layouts import canonical_key, foreign_keys, is_head, recognise_layout

__all__ = ["LoadReport", "load_file_into"]

_SHOWN = 6  # keys named in an error before "and so on"


@dataclass(frozen=True)
class LoadReport:
    """What became of every key of a file.

    Attributes:
        path: the file.
        layout: its key layout.
        loaded: our keys that were filled, in the model's order.
        renamed: of those, the ones the file calls otherwise, with the file's names.
        dropped: the file's keys that were not used, each left out on purpose.
        adapted: our keys whose tensors were changed to fit, and how.
    """

    path: Path
    layout: Layout
    loaded: tuple[str, ...]
    renamed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    adapted: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Say it in one line."""
        return (
            f"{self.path.name}: {len(self.loaded)} tensors loaded from the {self.layout} layout, "
            f"{len(self.renamed)} renamed, {len(self.adapted)} adapted, {len(self.dropped)} dropped"
        )


def load_file_into(
    model: MaskedAutoencoder,
    path: str | Path,
    layout: Layout | None = None,
    *,
    parts: Iterable[Part] | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    check_finite: bool = True,
) -> LoadReport:
    """Fill a model from a safetensors file; tensors are memory-mapped and assigned, not copied.

    Args:
        model: an autoencoder, or an encoder alone; may stand on the meta device.
        path: the file.
        layout: how it names its tensors; `None` recognises it.
        parts: which parts of the model to fill; `None` for all it has. A decoder in the file that the model or
            `parts` lacks is dropped, and the report says so.
        device: where the tensors go.
        dtype: what floating-point tensors become.
        check_finite: refuse NaN and infinity; reads every value once. Not needed for a file whose hash was checked.

    Returns:
        The report. Positions of another grid and inputs of another number of channels are adapted and named in it.

    Raises:
        WeightsNotFoundError: no such file.
        IntegrityError: the file is no whole safetensors file, or holds NaN or infinity.
        LayoutError: a key is missing, unexpected or of another shape.

    Example:
        >>> from maezoo.model import VARIANTS, build_mae
        >>> model = build_mae(VARIANTS["mae_vit_tiny"])
        >>> load_file_into(model, "maezoo/weights/mae_vit_tiny.safetensors").layout
        'maezoo'
    """
    path = Path(path)
    wanted = _wanted_keys(model, PARTS if parts is None else parts)
    try:
        with safe_open(path, framework="pt") as file:
            return _load(_Reader(file, path), model, wanted, layout, device, dtype, check_finite)
    except FileNotFoundError as error:
        raise WeightsNotFoundError(f"there is no file {path}.") from error
    except SafetensorError as error:
        raise IntegrityError(f"{path} is not a whole safetensors file: {error}. Fetch or convert it again.") from error


@dataclass(frozen=True)
class _Reader:
    """An open file and its path."""

    file: Any
    path: Path

    def keys(self) -> list[str]:
        return list(self.file.keys())

    def read(self, names: tuple[str, ...]) -> Tensor:
        """Return one tensor, or several joined along the first axis."""
        tensors: list[Tensor] = [self.file.get_tensor(name) for name in names]
        return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


def _load(
    reader: _Reader,
    model: MaskedAutoencoder,
    wanted: list[str],
    layout: Layout | None,
    device: torch.device | str,
    dtype: torch.dtype,
    check_finite: bool,
) -> LoadReport:
    """Plan, read and assign."""
    keys = reader.keys()
    layout = layout or recognise_layout(keys)
    spelling = {canonical_key(key, layout): key for key in keys}
    plan = {key: foreign_keys(key, layout) for key in wanted}
    _require_all(reader.path, plan, spelling, layout)
    sources = {key: tuple(spelling[name] for name in names) for key, names in plan.items()}
    dropped = _dropped(reader.path, keys, sources, layout)
    shapes = {key: tensor.shape for key, tensor in model.state_dict().items()}
    tensors, adapted = {}, {}
    for key, names in sources.items():
        tensor, change = _adapt(key, reader.read(names), shapes[key], model)
        if tensor.shape != shapes[key]:
            raise LayoutError(
                f"{reader.path}: {' + '.join(names)} has shape {tuple(tensor.shape)}, {key} needs {tuple(shapes[key])}."
            )
        if check_finite and not bool(torch.isfinite(tensor).all()):
            raise IntegrityError(f"{reader.path}: {' + '.join(names)} holds NaN or infinity; the file is damaged.")
        if change:
            adapted[key] = change
        tensors[key] = tensor.to(device=device, dtype=dtype)
    _assign(model, tensors)
    renamed = {key: names for key, names in sources.items() if names != (key,)}
    return LoadReport(reader.path, layout, tuple(wanted), renamed, dropped, adapted)


def _wanted_keys(model: MaskedAutoencoder, parts: Iterable[Part] | Iterable[str]) -> list[str]:
    """List the model's keys that belong to the parts."""
    prefixes = tuple(f"{part}." for part in parts)
    return [key for key in model.state_dict() if key.startswith(prefixes)]


def _require_all(path: Path, plan: Mapping[str, tuple[str, ...]], spelling: Mapping[str, str], layout: Layout) -> None:
    """Refuse a file that lacks a tensor the model needs."""
    missing = [key for key, names in plan.items() if not names or any(name not in spelling for name in names)]
    if not missing:
        return
    hint = ""
    if all(key.startswith("decoder.") for key in missing):
        hint = " The file is an encoder alone: pass decoder=False, or choose weights that have a decoder."
    elif "fc_norm.weight" in spelling:
        hint = " The file is fine-tuned for classification (fc_norm): load it with timm and global_pool='avg'."
    raise LayoutError(f"{path} ({layout} layout) lacks {_few(missing)}.{hint}")


def _dropped(path: Path, keys: list[str], sources: Mapping[str, tuple[str, ...]], layout: Layout) -> tuple[str, ...]:
    """Name the file's keys that are left out on purpose; refuse any other."""
    used = {name for names in sources.values() for name in names}
    unused = [key for key in keys if key not in used]
    decoder = {"maezoo": ("decoder.",), "transformers": ("decoder.",), "timm": (), "fair": ("decoder_", "mask_token")}[
        layout
    ]
    encoder = not any(key.startswith("encoder.") for key in sources)
    unexpected = [key for key in unused if not (is_head(key) or key.startswith(decoder) or encoder)]
    if unexpected or (
        any(key.startswith("decoder.") for key in sources) and any(key.startswith(decoder) for key in unused if decoder)
    ):
        surplus = unexpected or [key for key in unused if key.startswith(decoder)]
        raise LayoutError(f"{path} ({layout} layout) has keys this model has no place for: {_few(surplus)}.")
    return tuple(unused)


def _adapt(key: str, tensor: Tensor, shape: torch.Size, model: MaskedAutoencoder) -> tuple[Tensor, str | None]:
    """Fit positions to the model's grid and channels to its input; return the tensor and what was done, if anything."""
    if tensor.shape == shape:
        return tensor, None
    if key.endswith("pos_embed") and tensor.ndim == 3 and tensor.shape[2] == shape[2]:
        side = math.isqrt(tensor.shape[1] - 1)
        if side * side == tensor.shape[1] - 1:
            return resize_positions(
                tensor, (side, side), model.grid_size
            ), f"positions {side}x{side} -> {model.grid_size}"
    if key == "encoder.patch_embed.proj.weight" and tensor.ndim == 4 and tensor.shape[2:] == shape[2:]:
        return adapt_input_conv(shape[1], tensor, tensor.shape[1]), f"channels {tensor.shape[1]} -> {shape[1]}"
    if key.startswith("decoder.pred.") and tensor.shape[0] % model.patch_size**2 == 0:
        channels = tensor.shape[0] // model.patch_size**2
        return adapt_prediction(tensor, channels, model.in_chans), f"channels {channels} -> {model.in_chans}"
    return tensor, None


def adapt_prediction(tensor: Tensor, old: int, new: int) -> Tensor:
    """Change the channels of a prediction head: their mean for one channel, repeated in turn for more.

    Args:
        tensor: (P*P*old, …), weight or bias of the head, channels last inside a patch.
        old: channels it predicts.
        new: channels wanted.

    Returns:
        (P*P*new, …).

    Example:
        >>> adapt_prediction(torch.arange(6.0), 3, 1)
        tensor([1., 4.])
    """
    pixels = tensor.reshape(-1, old, *tensor.shape[1:])  # (P*P, old, …)
    if new == 1:
        adapted = pixels.float().mean(dim=1, keepdim=True).to(tensor.dtype)
    else:
        adapted = pixels[:, [channel % old for channel in range(new)]]
    return adapted.reshape(-1, *tensor.shape[1:])


def _assign(model: MaskedAutoencoder, tensors: Mapping[str, Tensor]) -> None:
    """Put the tensors into the model in place of its own."""
    rest = {key: value for key, value in model.state_dict().items() if key not in tensors}
    model.load_state_dict({**rest, **tensors}, strict=True, assign=True)


def _few(keys: list[str]) -> str:
    """Name the first few of many keys."""
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return f"{', '.join(keys[:_SHOWN])}{more}"
