"""What `timm.create_model` gives for our names: built and adapted by timm, from files that we verified."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from timm.models import VisionTransformer
from torch import Tensor, nn

from maezoo.checkpoints.adapt import adapt_filters
from maezoo.checkpoints.check import require_floating
from maezoo.checkpoints.folders import weights_in
from maezoo.checkpoints.frames import image_tensors, is_of_videos
from maezoo.checkpoints.layouts import is_decoder, is_head, our_keys, recognise_layout
from maezoo.checkpoints.reader import open_weights
from maezoo.errors import LayoutError
from maezoo.hub.fetching import fetch
from maezoo.hub.repository import Repository
from maezoo.manifest.entries import load_manifest
from maezoo.manifest.support import require_loadable
from maezoo.model import Facts, Variant, build_encoder
from maezoo.model.embedding import channels_of
from maezoo.model.trunk import Trunk
from maezoo.paths import user_path

__all__ = ["build_timm_encoder", "build_verified", "encoder_tensors", "facts_of"]

_POOLING = "attn_pool."
_FOREIGN = ("encoder.", "decoder.", "decoder_", "mask_token", "vit.", "embeddings.")  # how no name of timm's begins
_OWN_SOURCES = frozenset({"file", "state_dict", "url"})  # a caller's overlay that names the weights itself


def build_timm_encoder(variant: Variant, pretrained: bool, **kwargs: Any) -> VisionTransformer:
    """Build a variant's encoder as timm builds its own models.

    Args:
        variant: the architecture.
        pretrained: load the weights that timm's configuration names, by way of `maezoo.fetch`.
        **kwargs: timm's arguments for `create_model`.

    Raises:
        UnknownModelError, WeightsNotFoundError, OfflineError, IntegrityError: see `maezoo.fetch`.
        LayoutError: the file lacks a tensor, or has one that has no place in the encoder.

    Example:
        >>> import maezoo, timm
        >>> timm.create_model("mae_vit_tiny", pretrained=True, num_classes=10).num_classes
        10
    """
    builder = partial(build_encoder, variant, facts=facts_of(variant, kwargs.get("pretrained_cfg")))
    arguments = {"out_indices": 3} | kwargs
    model: VisionTransformer = build_verified(variant, variant.name, builder, encoder_tensors, pretrained, arguments)
    if hasattr(model, "patch_embed"):  # not a pyramid around it
        register: Any = model.register_load_state_dict_pre_hook
        register(_take_any_layout)
    return model


def build_verified(
    variant: Variant,
    name: str,
    model_class: Callable[..., nn.Module],
    filter_tensors: Callable[[dict[str, Tensor], Any], dict[str, Tensor]],
    pretrained: bool,
    arguments: Mapping[str, Any],
) -> Any:
    """Build a model with timm's builder, from a file that we verified.

    Args:
        variant: whose weights these are.
        name: what timm calls the model.
        model_class: makes it.
        filter_tensors: turns a file's tensors into the model's.
        pretrained: load the weights that timm's configuration names.
        arguments: timm's for `create_model`, with `out_indices`.
    """
    from timm.models import build_model_with_cfg  # timm may have been imported anew since this module was

    kwargs = dict(arguments)
    overlay = dict(kwargs.pop("pretrained_cfg_overlay", None) or {})
    config = kwargs.get("pretrained_cfg")
    if pretrained and not overlay.keys() & _OWN_SOURCES:
        overlay |= _verified_file(variant, config, kwargs.get("cache_dir"))
    if pretrained and "input_size" not in overlay:
        overlay |= _own_channels(name, config, overlay.get("file"), kwargs)
    return build_model_with_cfg(
        model_class,
        name,
        pretrained,
        pretrained_cfg_overlay=overlay or None,
        pretrained_filter_fn=filter_tensors,
        feature_cfg={"out_indices": kwargs.pop("out_indices"), "feature_cls": "getter"},
        **kwargs,
    )


def encoder_tensors(tensors: dict[str, Tensor], model: VisionTransformer | Trunk) -> dict[str, Tensor]:
    """Turn a file's tensors, in any known layout, to those of timm's encoder: float32, at the model's grid.

    Args:
        tensors: all of the file's.
        model: timm's encoder; its head and its attention pooling may be fresh, nothing else. Or a pyramid's trunk,
            which has no final norm.

    Raises:
        LayoutError: the keys belong to no known layout, or one of the encoder's is missing or has no place there.
            (timm itself is not strict once `num_classes` differs from the file's.)
    """
    of_videos = any(is_of_videos(key, tuple(tensor.shape)) for key, tensor in tensors.items())
    tensors = image_tensors(tensors, of_videos=of_videos)
    layout = recognise_layout(tensors.keys())
    sources, unknown = our_keys(tensors.keys(), layout)
    ours = {key.removeprefix("encoder."): names for key, names in sources.items() if key.startswith("encoder.")}
    wanted = model.state_dict().keys()
    missing = [key for key in wanted if key not in ours and not is_head(key) and not key.startswith(_POOLING)]
    replaced = "head." if "norm.weight" in wanted else "norm."  # a trunk and a model with fc_norm have no such norm
    surplus = [key for key in ours if key not in wanted and not is_head(key) and not key.startswith(replaced)]
    surplus += [key for key in unknown if not is_head(key) and not is_decoder(key, layout)]
    if missing or surplus:
        problem = (
            f"it lacks {', '.join(missing[:6])}" if missing else f"which has no place for {', '.join(surplus[:6])}"
        )
        hint = " It is fine-tuned: pass global_pool='avg', fc_norm=True." if "fc_norm.weight" in ours else ""
        message = f"the {layout} file does not fit timm's encoder: {problem}.{hint}"
        raise LayoutError(message, expected=tuple(missing), found=tuple(surplus))
    from timm.models.vision_transformer import checkpoint_filter_fn

    for name in (name for key in wanted if key in ours for name in ours[key]):
        require_floating(tensors[name], name)
    found = {key: torch.cat([tensors[name].float() for name in ours[key]]) for key in wanted if key in ours}
    filters, in_chans = found["patch_embed.proj.weight"], channels_of(model.patch_embed)
    if _said_channels(model) == in_chans != filters.shape[1]:  # timm adapts to other channels than its configuration's
        found["patch_embed.proj.weight"] = adapt_filters(filters, in_chans)
    fresh = {key: value for key, value in model.state_dict().items() if key.startswith(_POOLING) and key not in found}
    encoder: Any = model  # timm looks at its patch embedding and positions
    return dict(checkpoint_filter_fn(found, encoder)) | fresh


def facts_of(variant: Variant, config: Any) -> Facts:
    """Return what the weights that timm's configuration names ask of the model; channels are timm's business."""
    tag = config if isinstance(config, str) else getattr(config, "tag", None)
    entry = load_manifest().entries.get(f"{variant.name}.{tag}") if tag else None
    facts = variant.facts if entry is None else entry.facts_of_model
    return replace(facts, in_chans=variant.facts.in_chans)


def _own_channels(name: str, config: Any, file: str | None, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Tell timm how many channels a file's filters take, where its configuration of the model says another number."""
    from timm.models._builder import resolve_pretrained_cfg

    if file is None or Path(file).suffix != ".safetensors":
        return {}
    with open_weights(Path(file)) as opened:
        channels = opened.channels(opened.layout)
    said = resolve_pretrained_cfg(name, config).input_size
    if channels in (None, said[0]):
        return {}
    return {"input_size": (arguments.get("in_chans") or channels, *said[1:])}


def _said_channels(model: nn.Module) -> int:
    """Return the channels that timm's configuration of a model says its weights have."""
    config = getattr(model, "pretrained_cfg", None) or {}
    return int((config.get("input_size") or (3,))[0])


def _take_any_layout(model: Any, tensors: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Let `load_state_dict`, and so timm's `checkpoint_path=`, take any layout; a missing head is left as it is."""
    if prefix or not any(key.startswith(_FOREIGN) for key in tensors):
        return
    found = encoder_tensors(dict(tensors), model)
    if not any(is_head(key) for key in found):
        found |= {key: value for key, value in model.state_dict().items() if is_head(key)}
    tensors.clear()
    tensors.update(found)


def _verified_file(variant: Variant, config: Any, cache_dir: str | Path | None) -> dict[str, str | None]:
    """Return timm's `file` for the weights that its configuration names."""
    fields = config if isinstance(config, dict) else vars(config) if hasattr(config, "tag") else {"tag": config}
    if fields.get("source") == "local-dir":
        return {"file": _one_file(weights_in(user_path(fields["file"]))), "source": None}
    if fields.get("source") == "hf-hub":
        path = Repository.parse(fields["hf_hub_id"]).fetch(cache_dir=cache_dir)
        return {"file": _one_file(path), "source": None}
    tag = fields.get("tag")
    entry = load_manifest().find(f"{variant.name}.{tag}" if tag else variant.name)
    require_loadable(entry)
    return {"file": _one_file(fetch(entry, cache_dir=cache_dir))}


def _one_file(path: Path) -> str:
    """Return the path of a weights file as timm takes it."""
    if path.suffix != ".json":
        return str(path)
    command = f"maezoo convert {path.parent} FOLDER"
    raise LayoutError(f"{path}: timm reads one file; `{command}` makes one of these.", path=path, command=command)
