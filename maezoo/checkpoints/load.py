"""File to model: read tensor by tensor, strict, and with a report of what became of every key."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from maezoo.checkpoints.adapt import Fit
from maezoo.checkpoints.bounds import NORM_EPSILON
from maezoo.checkpoints.check import require_finite, require_floating
from maezoo.checkpoints.configs import configured_epsilon
from maezoo.checkpoints.layouts import canonical_key, foreign_keys, is_decoder, is_head
from maezoo.checkpoints.metadata import DECODER
from maezoo.checkpoints.reader import WeightsFile, open_weights
from maezoo.checkpoints.report import LoadReport
from maezoo.errors import LayoutError
from maezoo.model import MaskedAutoencoder
from maezoo.model.facts import VIDEO
from maezoo.paths import user_path
from maezoo.vocabulary import PARTS, Layout, Part

__all__ = ["LoadReport", "load_file_into", "norm_epsilon_of"]

_SHOWN = 6  # keys named in an error before "and so on"


def load_file_into(
    model: MaskedAutoencoder,
    path: str | Path | WeightsFile,
    layout: Layout | None = None,
    *,
    parts: Iterable[Part] | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    check_finite: bool = True,
    norm_epsilon: float | None = None,
    grid: tuple[int, int] | None = None,
    mapped: bool = False,
    take: str | None = None,
) -> LoadReport:
    """Fill a model from a safetensors file, or from several by their index; tensors are assigned as they are read.

    Args:
        model: an autoencoder, or an encoder alone; may be on the meta device.
        path: the file; or one that `open_weights` has opened, which is then closed, and knows `mapped` and `take`.
        layout: how it names its tensors; `None` recognises it.
        parts: which parts of the model to fill; `None` for all it has. A decoder in the file that the model or
            `parts` lacks is dropped, and the report says so.
        device: where the tensors go.
        dtype: what floating-point tensors become.
        check_finite: refuse NaN and infinity; reads every value once. Not needed for a file whose hash was checked.
        norm_epsilon: what the model's norms add to a variance. `None` takes the one that the file says, or the
            config.json next to a file in the transformers layout (transformers' own default is 1e-12), or 1e-5 for
            filters of videos; where nothing says it, the model keeps its own. Outputs agree only where it does.
        grid: patch grid (h, w) of the file's positions. `None` takes it from the file's header, whose target must then
            be the model's; positions of a file without one are taken as square.
        mapped: map the file and do not copy it. Only for a file that nobody changes: the model's weights would change
            with it, and a file that is cut short would end the process.
        take: which of several state dicts in the file, by its prefix; `None` is the model before its average.

    Returns:
        The report. Positions of another grid and inputs of another number of channels are adapted and named in it.

    Raises:
        WeightsNotFoundError: no such file.
        IntegrityError: the file is no safetensors file or a damaged one, or holds NaN or infinity.
        LayoutError: a key is missing, unexpected, of another shape, or not floating-point; the file says that it was
            trained for another target than the model's; or a config.json next to it cannot be read. The model is then
            as it was.

    Example:
        >>> from maezoo.model import VARIANTS, build_mae
        >>> model = build_mae(VARIANTS["mae_vit_tiny"])
        >>> load_file_into(model, "maezoo/checkpoints/mae_vit_tiny.safetensors").layout
        'maezoo'
    """
    opened = path if isinstance(path, WeightsFile) else open_weights(user_path(path), mapped=mapped, take=take)
    with opened as file:
        plan = _plan(file, model, layout or file.layout, PARTS if parts is None else tuple(parts))
        fit = Fit(model, _grid(file, model) if grid is None else grid, file.is_of_videos)
        tensors, adapted = _read(file, plan, fit, device, dtype, check_finite)
        if norm_epsilon is None:
            norm_epsilon = norm_epsilon_of(file, plan.layout)
        rest = {key: value for key, value in model.state_dict().items() if key not in tensors}
        model.load_state_dict({**rest, **tensors}, strict=True, assign=True)
        naming = file.naming
        sources = {key: tuple(naming.names[name] for name in names) for key, names in plan.sources.items()}
        renamed = {key: names for key, names in sources.items() if names != (key,)}
        _set_epsilon(model, file, norm_epsilon)
        return LoadReport(
            file.path,
            plan.layout,
            tuple(tensors),
            renamed,
            plan.dropped,
            adapted,
            norm_epsilon,
            naming.taken,
            naming.others,
        )


def _set_epsilon(model: MaskedAutoencoder, file: WeightsFile, epsilon: float | None) -> None:
    """Give the norms of a model their epsilon: the one that was found, else the usual one if the file says that."""
    if epsilon is None and file.metadata is not None:
        epsilon = file.metadata.facts.norm_epsilon
    if epsilon is not None:
        for module in model.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = epsilon


def norm_epsilon_of(file: WeightsFile, layout: Layout) -> float | None:
    """Return the LayerNorm epsilon that a file, or a configuration next to it, has in place of the usual one."""
    if file.metadata is None:
        configured = configured_epsilon(file.path) if layout == "transformers" else None
        return VIDEO.norm_epsilon if file.is_of_videos else configured
    epsilon = file.metadata.facts.norm_epsilon
    return None if epsilon == NORM_EPSILON else epsilon


@dataclass(frozen=True)
class _Plan:
    """Which of the file's keys fill which of the model's, and which are left out."""

    layout: Layout
    sources: Mapping[str, tuple[str, ...]]
    dropped: tuple[str, ...]


def _plan(file: WeightsFile, model: MaskedAutoencoder, layout: Layout, parts: tuple[str, ...]) -> _Plan:
    """Find a place for every key, or a reason to leave it out.

    Raises:
        LayoutError: the file lacks a key, or has one that is neither needed nor left out on purpose.
    """
    spelling = {canonical_key(key, layout): key for key in file.keys}
    wanted = [key for key in model.state_dict() if key.startswith(tuple(f"{part}." for part in parts))]
    filled = {key.partition(".")[0] for key in wanted}
    if filled != set(parts) - ({"decoder"} if len(parts) > 1 and model.decoder is None else set()):
        message = f"parts={parts!r}, but the model has {' and '.join(filled) or 'none of them'}."
        raise LayoutError(message, expected=parts, found=tuple(filled))
    names = {key: _of_token_or_mean(foreign_keys(key, layout), spelling) for key in wanted}
    missing = [key for key in wanted if not names[key] or any(name not in spelling for name in names[key])]
    if missing:
        message = f"{file.path} ({layout} layout) lacks {_few(missing)}.{_hint(file, missing)}"
        raise LayoutError(message, path=file.path, expected=tuple(missing))
    sources = {key: tuple(spelling[name] for name in names[key]) for key in wanted}
    used = {name for theirs in sources.values() for name in theirs}
    unused = [key for key in file.keys if key not in used]
    surplus = [key for key in unused if not is_head(key) and _part(key, layout) in filled]
    if surplus:
        message = f"{file.path} ({layout} layout) has keys this model has no place for: {_few(surplus)}."
        raise LayoutError(message, path=file.path, found=tuple(surplus))
    return _Plan(layout, sources, (*(file.naming.names[key] for key in unused), *file.naming.outside))


def _part(key: str, layout: Layout) -> Part:
    """Return the part that a file's key belongs to."""
    return "decoder" if is_decoder(key, layout) else "encoder"


def _of_token_or_mean(names: tuple[str, ...], spelling: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the norm after pooling (fc_norm) in place of the last one, which fine-tuned files lack.

    The mean of normed tokens is not the norm of their mean, but the nearest that an encoder of tokens has.
    """
    theirs = tuple(name.replace("norm.", "fc_norm.") for name in names)
    last = all(name.removeprefix("encoder.").startswith("norm.") for name in names)
    return theirs if last and spelling.keys() >= {*theirs} and not spelling.keys() & {*names} else names


def _hint(file: WeightsFile, missing: list[str]) -> str:
    """Say what may be meant by a file that lacks keys."""
    if file.splits_decoder and all(key.startswith("decoder.") for key in missing):
        return f" Its decoder, {DECODER} in the same folder, is not there: put it there, or pass decoder=False."
    if all(key.startswith("decoder.") for key in missing):
        return " The file is an encoder alone: pass decoder=False, or choose weights that have a decoder."
    return ""


def _read(
    file: WeightsFile,
    plan: _Plan,
    fit: Fit,
    device: torch.device | str,
    dtype: torch.dtype,
    check_finite: bool,
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the planned tensors, fitted to the model; also return what was done to fit them."""
    same_grid = fit.old_grid in (None, fit.model.grid_size)
    shapes = {key: tensor.shape for key, tensor in fit.model.state_dict().items()}
    tensors, adapted = {}, {}
    for key, names in plan.sources.items():
        what = f"{file.path}: {' + '.join(names)}"
        found, wanted = file.shape(*names), shapes[key]
        same_places = same_grid and not fit.of_videos
        fits = found == wanted and (same_places or not key.endswith(".pos_embed"))
        if not fits and not fit.works(key, found, wanted):
            message = f"{what} has shape {found}, {key} needs {tuple(wanted)}."
            raise LayoutError(message, path=file.path, expected=tuple(wanted), found=found)
        tensor = file.read(*names)
        require_floating(tensor, what)
        if not fits:
            tensor, change = fit.apply(key, tensor, wanted)
            if change:
                adapted[key] = change
        if check_finite:
            require_finite(tensor, what)
        tensors[key] = tensor.to(device=device, dtype=dtype)
    return tensors, adapted


def _grid(file: WeightsFile, model: MaskedAutoencoder) -> tuple[int, int] | None:
    """Return the patch grid that a file says it has, once sure that it was trained for the model's target."""
    metadata = file.metadata
    if metadata is None:
        return None
    if model.decoder is not None and metadata.target != model.target:
        raise LayoutError(
            f"{file.path} was trained for the target {metadata.target!r}, the model is for {model.target!r}: "
            f"encoders and decoders of different trainings do not fit together. Build the model with target="
            f"{metadata.target!r}.",
            path=file.path,
            expected=model.target,
            found=metadata.target,
        )
    h, w = metadata.preprocess.size
    return h // metadata.variant.patch_size, w // metadata.variant.patch_size


def _few(keys: list[str]) -> str:
    """Name the first few of many keys."""
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return f"{', '.join(keys[:_SHOWN])}{more}"
