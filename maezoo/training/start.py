"""Weights that a run starts from: a name, a folder or a file, in any layout, with a decoder or without."""

import hashlib
import logging
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

from timm.layers import resample_patch_embed
from torch import Tensor

from maezoo.api.source import LOCAL, WeightsSource, find_source
from maezoo.checkpoints.load import load_file_into
from maezoo.errors import WeightsNotFoundError
from maezoo.hashes import sha256_of
from maezoo.hub.repository import HUB
from maezoo.images.preprocessing import Preprocessing
from maezoo.manifest.description import Description
from maezoo.model import MaskedAutoencoder, build_mae, find_variant
from maezoo.model.build import empty_weights
from maezoo.paths import user_path
from maezoo.training.processes.sharded import placed_as
from maezoo.training.recipe import Recipe
from maezoo.training.shape import Shape

__all__ = ["fingerprint", "load_start", "open_start"]

_log = logging.getLogger(__name__)
_FILTERS = "encoder.patch_embed.proj.weight"
_USUAL = (224, 224)  # of bare files, which do not say it


def open_start(recipe: Recipe) -> AbstractContextManager[WeightsSource | None]:
    """Open the weights that a recipe starts from; no tensor is read yet.

    Args:
        recipe: its `init` is a name of the manifest, `"local-dir:…"`, `"hf-hub:…"`, or the path of a file or folder in
            any layout. What a bare file does not say of itself is taken from the recipe, or is as in the paper.

    Raises:
        UnknownModelError, WeightsNotFoundError, OfflineError, IntegrityError, LayoutError: as from `maezoo.create`.
    """
    if not recipe.init:
        return nullcontext()
    if recipe.init.startswith((LOCAL, HUB)):
        return _source(recipe.init, recipe)
    path = user_path(recipe.init)
    if path.exists():
        return _source(f"{LOCAL}{path}", recipe)
    if not _is_name(recipe.init):
        message = f"{path}: there is no such file; init is a name (see `maezoo list`), local-dir:FOLDER or a file."
        raise WeightsNotFoundError(message, path=path)
    return find_source(recipe.init, pretrained=True, checkpoint=None, cache_dir=None, offline=None)


def _is_name(text: str) -> bool:
    """Whether a text is more like `mae_vit_base.in1k_pixel` than like a path."""
    return Path(text).name == text and not text.endswith((".safetensors", ".pth", ".pt", ".bin", ".json"))


def _source(name: str, recipe: Recipe) -> WeightsSource:
    bare = Description(
        find_variant(recipe.model) if recipe.model else None,
        recipe.target or "pixel",
        Preprocessing(size=recipe.img_size or _USUAL),
    )
    return find_source(name, pretrained=False, checkpoint=None, cache_dir=None, offline=None, likeness=bare)


def fingerprint(start: WeightsSource | None) -> str:
    """Return a hash of the files that a run starts from; empty where it starts from random weights."""
    if start is None or start.file is None:
        return ""
    digests = [sha256_of(path) for path in start.file.files]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def load_start(start: WeightsSource, model: MaskedAutoencoder, shape: Shape, *, tell: bool = True) -> None:
    """Load the weights that a run starts from, in place.

    Positions are resized to another grid, filters and prediction to other channels, filters to another patch side (as
    timm does it, FlexiViT's way). A decoder of another shape or target is left out: the model keeps its own, untrained.

    Args:
        start: the weights, opened.
        model: of the shape; its parameters may be shared out.
        shape: of the model.
        tell: log what was taken; a decoder that is left out is a warning.

    Raises:
        LayoutError, IntegrityError: the file is damaged or does not fit the model.
    """
    theirs = start.variant
    why = _why_anew(start, shape)
    h, w = model.grid_size
    with empty_weights():
        loaded = build_mae(
            shape.variant if not why else replace(shape.variant, patch_size=theirs.patch_size),
            facts=shape.facts,
            decoder=not why,
            img_size=(h * theirs.patch_size, w * theirs.patch_size),
            target=shape.target if not why else None,
            init=False,
        )
    if start.file is None:
        return
    load_file_into(loaded, start.file, start.layout, norm_epsilon=shape.facts.norm_epsilon, grid=start.grid)
    weights: dict[str, Tensor] = loaded.state_dict()
    if theirs.patch_size != shape.variant.patch_size:
        side = shape.variant.patch_size
        weights[_FILTERS] = resample_patch_embed(weights[_FILTERS], [side, side])
    own = model.state_dict()
    model.load_state_dict({**own, **{name: placed_as(value, own[name]) for name, value in weights.items()}})
    if tell and why:
        _log.warning("starting from the encoder of %s; the decoder starts anew: %s", start.name, why)
    elif tell:
        _log.info("starting from the encoder and the decoder of %s", start.name)


def _why_anew(start: WeightsSource, shape: Shape) -> str:
    """Say why the decoder of the starting weights cannot be used; empty where it can."""
    ours, theirs = shape.variant, start.variant
    if not start.has_decoder:
        return "these weights have none"
    if theirs.patch_size != ours.patch_size:
        return f"theirs predicts patches of {theirs.patch_size} pixels, not {ours.patch_size}"
    if start.target != shape.target:
        return f"theirs predicts {start.target}, not {shape.target}"
    names = ("decoder_dim", "decoder_depth", "decoder_heads")
    differing = [name for name in names if getattr(ours, name) != getattr(theirs, name)]
    return "; ".join(f"{name} is {getattr(theirs, name)} there, {getattr(ours, name)} here" for name in differing)
