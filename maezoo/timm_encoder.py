"""What `timm.create_model` gives for our names: timm's own building and adapting, over files that we fetched and verified."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from timm.models import VisionTransformer, build_model_with_cfg
from timm.models.vision_transformer import checkpoint_filter_fn
from torch import Tensor

from maezoo.model import Variant, build_encoder
from maezoo.weights.hub import fetch
from maezoo.weights.layouts import canonical_key, foreign_keys, recognise_layout
from maezoo.weights.manifest import load_manifest

__all__ = ["build_timm_encoder"]

_OWN_SOURCES = frozenset({"file", "state_dict", "url"})  # a caller's overlay that names the weights itself


def build_timm_encoder(variant: Variant, pretrained: bool, **kwargs: Any) -> VisionTransformer:
    """Build a variant's encoder as timm builds its own models.

    Args:
        variant: the architecture.
        pretrained: load the weights that timm's configuration names, by way of `maezoo.fetch`.
        **kwargs: timm's arguments for `create_model`.

    Raises:
        UnknownModelError, WeightsNotFoundError, OfflineError, IntegrityError: see `maezoo.fetch`.

    Example:
        >>> import maezoo, timm
        >>> timm.create_model("mae_vit_tiny", pretrained=True, num_classes=10).num_classes
        10
    """
    overlay = dict(kwargs.pop("pretrained_cfg_overlay", None) or {})
    if pretrained and not overlay.keys() & _OWN_SOURCES:
        overlay |= _verified_file(variant, kwargs.get("pretrained_cfg"), kwargs.get("cache_dir"))
    model: VisionTransformer = build_model_with_cfg(
        partial(build_encoder, variant),
        variant.name,
        pretrained,
        pretrained_cfg_overlay=overlay or None,
        pretrained_filter_fn=encoder_tensors,
        feature_cfg={"out_indices": kwargs.pop("out_indices", 3), "feature_cls": "getter"},
        **kwargs,
    )
    return model


def encoder_tensors(tensors: dict[str, Tensor], model: VisionTransformer) -> dict[str, Tensor]:
    """Turn a file's tensors, in any known layout, to those of timm's encoder: float32, at the model's grid.

    Raises:
        LayoutError: the keys belong to no known layout.
    """
    layout = recognise_layout(tensors.keys())
    if layout == "timm":
        return dict(checkpoint_filter_fn(tensors, model))
    spelling = {canonical_key(key, layout): tensor for key, tensor in tensors.items()}
    found = {}
    for key in model.state_dict():
        names = foreign_keys(f"encoder.{key}", layout)
        if names and all(name in spelling for name in names):
            found[key] = torch.cat([spelling[name].float() for name in names])
    return dict(checkpoint_filter_fn(found, model))


def _verified_file(variant: Variant, config: Any, cache_dir: str | Path | None) -> dict[str, str]:
    """Return timm's `file` for the weights that its configuration names."""
    if getattr(config, "source", None) in ("hf-hub", "local-dir"):
        return {}
    tag = config.get("tag") if isinstance(config, dict) else getattr(config, "tag", config)
    entry = load_manifest().find(f"{variant.name}.{tag}" if tag else variant.name)
    return {"file": str(fetch(entry, cache_dir=cache_dir))}
