"""A name becomes a ready model, in four steps, each of which is asked once.

which weights?        api/source.py            asks manifest/entries.py
where is the file?    hub/fetching.py          asks hub/verification.py; hub/downloading.py if it is not here
an empty model        model/build.py
fill it               checkpoints/load.py      asks checkpoints/reader.py, with names from layouts.py
"""

import operator
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from maezoo.api.mae import MAE
from maezoo.api.names import ModelNames, PretrainedNames
from maezoo.api.random_weights import RandomWeights
from maezoo.api.source import WeightsSource, find_source
from maezoo.arguments import is_whole, members, whole_number
from maezoo.checkpoints.bounds import LARGEST_SIDE, MOST_PATCHES
from maezoo.checkpoints.load import LoadReport, load_file_into
from maezoo.errors import ArgumentError
from maezoo.hardware import choose_device, parse_dtype
from maezoo.hub import fetching as _hub
from maezoo.hub.report import VerifyReport, verify_entries
from maezoo.hub.repository import HUB, Repository
from maezoo.hub.verification import known_finite, remember_finite
from maezoo.images.preprocessing import MOST_CHANNELS, as_window
from maezoo.manifest.entries import WeightsEntry, load_manifest
from maezoo.manifest.names import matches
from maezoo.model import VARIANTS, build_mae
from maezoo.model.build import empty_weights
from maezoo.vocabulary import Field, Window

__all__ = ["create", "fetch", "info", "list_models", "list_pretrained", "verify"]


def create(
    name: str,
    pretrained: bool = False,
    *,
    checkpoint: str | Path | None = None,
    device: str | torch.device | None = "auto",
    dtype: torch.dtype | str | None = None,
    img_size: int | tuple[int, int] | None = None,
    in_chans: int | None = None,
    decoder: bool = True,
    window: Window | None = None,
    cache_dir: str | Path | None = None,
    offline: bool | None = None,
) -> MAE:
    """Create a model, in eval mode.

    Args:
        name: an architecture (`"mae_vit_base"`), weights (`"mae_vit_base.in1k_normpix"`), or a place that has both:
            `"local-dir:path"` or `"hf-hub:org/repo[@revision]"`, which is always filled from there.
        pretrained: fill it with the named weights, or with the architecture's default ones. Without it and without a
            checkpoint the weights are random.
        checkpoint: a safetensors file, or the folder of one, to fill it from, in any of the known layouts. The model
            copies these weights, so the file may change later; files of the cache are mapped and not copied.
        device: `"auto"`, or `None`, is CUDA where there is one, else the CPU.
        dtype: `None` is float32; `"auto"` is bfloat16 where the hardware multiplies it fast, else float32.
        img_size: side or (H, W) of the input in pixels, multiples of the patch side; the weights' own when `None`.
        in_chans: channels of the input; the weights' own when `None`, 3 for random ones. With another number than the
            weights', filters and prediction head are adapted.
        decoder: `False` leaves the decoder out: less memory, features only.
        window: which values of a picture of more than 8 bits become black and white: `"full"`, all that its number
            format can hold; `"auto"`, its own smallest and largest; `"percentiles"`, its own 1st and 99th percentile;
            or two values (low, high). The weights' own when `None`, which is `"full"` unless they were saved with
            another one.
        cache_dir: where downloads are kept; huggingface_hub's cache when `None`.
        offline: never ask the network; `None` follows `HF_HUB_OFFLINE`. Cached weights need no network in any case.

    Returns:
        The model. Weights without a decoder give a model without one; `reconstruct` then says which have it.

    Raises:
        UnknownModelError: no such name; the message has the closest ones.
        UnsupportedWeightsError: the manifest knows these weights, and this version cannot load them.
        WeightsNotFoundError, OfflineError: the file is not here and cannot be fetched.
        IntegrityError: the file is damaged or not the published one.
        LicenseError: the licence is refused by `MAEZOO_ALLOW_NONCOMMERCIAL=0`.
        LayoutError: the file does not fit the architecture, or does not say how it is to be used.
        SizeError: `img_size` is not a whole number of patches.
        ArgumentError: an unknown window, device or number format, or a size or number of channels out of bounds.

    Example:
        >>> model = create("mae_vit_tiny", pretrained=True, device="cpu")
        >>> model.name, model.grid_size
        ('mae_vit_tiny.photos_pixel', (12, 12))
    """
    rule = None if window is None else as_window(window)
    with find_source(
        name, pretrained=pretrained, checkpoint=checkpoint, cache_dir=cache_dir, offline=offline, decoder=decoder
    ) as source:
        target_device = choose_device(device)
        choice = parse_dtype(dtype, target_device)
        model = _build(source, img_size, in_chans, decoder)
        if rule is not None:
            model.preprocess = replace(model.preprocess, window=rule)
        model.load_report = _fill(model, source, target_device, choice.dtype)
    model.entry = source.entry
    model.license = source.license
    model.dtype_reason = choice.reason
    model.to(device=target_device, dtype=choice.dtype).eval()
    if source.file is None:
        parts = {"encoder": model.encoder, "decoder": model.decoder}
        model.random_weights = RandomWeights({name: part for name, part in parts.items() if part is not None})
    return model


def _fill(model: MAE, source: WeightsSource, device: torch.device, dtype: torch.dtype) -> LoadReport | None:
    """Fill a model from a file, whose values are looked at once and not again until the file changes."""
    if source.file is None:
        return None
    part = "all" if model.decoder is not None else "encoder"
    files = source.file.files
    check = not all(known_finite(path, part) for path in files)
    report = load_file_into(
        model,
        source.file,
        source.layout,
        device=device,
        dtype=dtype,
        check_finite=check,
        norm_epsilon=source.norm_epsilon,
        grid=source.grid,
    )
    for path in files if check else ():
        remember_finite(path, part)
    return report


def list_models(pattern: str = "*") -> list[str]:
    """List the architectures that match a shell-style pattern.

    Example:
        >>> list_models("*large")
        ['mae_vit_large', 'pixio_vit_large']
    """
    return ModelNames(name for name in VARIANTS if matches(name, pattern))


def list_pretrained(pattern: str = "*", *, field: Field | None = None, commercial: bool | None = None) -> list[str]:
    """List the weights, as `architecture.tag`, that match a shell-style pattern.

    Args:
        pattern: of names.
        field: only those trained on `"photos"`, `"satellite"`, `"audio"`, `"medical"` or `"text"`.
        commercial: `True` for those whose licence allows commercial use, `False` for the others.

    Returns:
        The names. Not all of them load in this version: `maezoo list` says which do.

    Raises:
        ArgumentError: another field.

    Example:
        >>> list_pretrained("mae_vit_base*", field="photos")
        ['mae_vit_base.in1k_pixel', 'mae_vit_base.in1k_normpix']
        >>> list_pretrained("mae_vit_large*", field="photos", commercial=True)
        []
    """
    return PretrainedNames(entry.name for entry in load_manifest().select(pattern, field, commercial))


def info(name: str) -> WeightsEntry:
    """Return all that the manifest knows of a weight; a bare architecture stands for its default weight.

    Raises:
        UnknownModelError: no such name; the message has the closest ones.

    Example:
        >>> info("mae_vit_base").license
        'apache-2.0'
    """
    return load_manifest().find(name)


def fetch(name: str, *, cache_dir: str | Path | None = None, offline: bool | None = None) -> Path:
    """Return the path of a weight's verified file, downloading it when it must.

    Of weights in several files it is that of their index; of weights that are published as a pickle it is that of the
    safetensors copy that was made of it.

    Args:
        name: weights, an architecture, or `"hf-hub:org/repo[@revision]"`.
        cache_dir: where downloads are kept; huggingface_hub's cache when `None`.
        offline: never ask the network; `None` follows `HF_HUB_OFFLINE`.

    Raises:
        UnknownModelError: no such name.
        WeightsNotFoundError, OfflineError, IntegrityError: the file cannot be fetched, or is not the published one.

    Example:
        >>> fetch("mae_vit_tiny").name
        'mae_vit_tiny.safetensors'
    """
    if isinstance(name, str) and name.startswith(HUB):
        repository = Repository.parse(name.removeprefix(HUB))
        return repository.fetch(decoder=True, cache_dir=cache_dir, offline=offline)
    return _hub.fetch(info(name), decoder=True, cache_dir=cache_dir, offline=offline)


def verify(name: str | None = None, *, cache_dir: str | Path | None = None) -> VerifyReport:
    """Hash the files of weights that are on this machine, whatever is remembered of them, and compare.

    Args:
        name: weights or an architecture; all that are in the cache or the package when `None`.
        cache_dir: where downloads are kept; huggingface_hub's cache when `None`.

    Returns:
        What was found of each. A hash that the manifest does not pin is asked of the hub, unless that is offline.

    Raises:
        UnknownModelError: no such name.

    Example:
        >>> report = verify("mae_vit_tiny")
        >>> report.fine, [result.status for result in report.results][0] in ("verified", "unchanged")
        (True, True)
    """
    entries = load_manifest().entries.values() if name is None else [info(name)]
    return verify_entries(entries, cache_dir, skip_absent=name is None)


def _build(source: WeightsSource, img_size: int | tuple[int, int] | None, in_chans: int | None, decoder: bool) -> MAE:
    """Build the empty model: on the meta device when a file will fill it."""
    size = source.preprocess.size if img_size is None else _height_and_width(img_size)
    channels = source.facts.in_chans
    if in_chans is not None:
        channels = whole_number(in_chans, "in_chans", 1, MOST_CHANNELS, what="a whole number, or None")
    if size[0] * size[1] > MOST_PATCHES * source.variant.patch_size**2:
        message = f"img_size={size} is cut into more than {MOST_PATCHES:,} patches; pass a smaller one."
        raise ArgumentError(message, expected=MOST_PATCHES, found=size)
    with empty_weights() if source.file else torch.device("cpu"):
        plain = build_mae(
            source.variant,
            decoder=decoder and source.has_decoder,
            facts=replace(source.facts, in_chans=channels),
            img_size=size,
            target=source.target,
            init=source.file is None,
        )
    preprocess = source.preprocess
    if preprocess.size != plain.img_size:
        preprocess = replace(preprocess, size=plain.img_size)
    if preprocess.bands is not None and len(preprocess.bands) != channels:  # filters are adapted to others, unnamed
        window = "full" if isinstance(preprocess.window[0], tuple) else preprocess.window
        preprocess = replace(preprocess, bands=None, window=window)
    return MAE(
        plain.encoder,
        plain.decoder,
        preprocess=preprocess,
        target=source.target,
        name=source.name,
        facts=source.facts,
    )


def _height_and_width(img_size: int | Sequence[int]) -> tuple[int, int]:
    """Return a size as (H, W)."""
    sides: list[Any] = [img_size, img_size] if is_whole(img_size, -LARGEST_SIDE) else members(img_size)
    if len(sides) != 2 or not all(is_whole(side, -LARGEST_SIDE, LARGEST_SIDE) for side in sides):
        raise ArgumentError(
            "img_size is the side of the input, or (height, width), in whole pixels, at most "
            f"{LARGEST_SIDE:,}; got {img_size!r}.",
            found=img_size,
        )
    return operator.index(sides[0]), operator.index(sides[1])
