"""What `timm.create_model` gives for our names: timm's own building and adapting, of files that we verified."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from timm.models import VisionTransformer, build_model_with_cfg
from timm.models.vision_transformer import checkpoint_filter_fn
from torch import Tensor

from maezoo.errors import LayoutError
from maezoo.files import user_path
from maezoo.model import Variant, build_encoder
from maezoo.weights.hub import fetch
from maezoo.weights.layouts import is_decoder, is_head, our_keys, recognise_layout
from maezoo.weights.manifest import load_manifest
from maezoo.weights.repository import Repository
from maezoo.weights.source import weights_in

__all__ = ["build_timm_encoder", "encoder_tensors"]

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

    Args:
        tensors: of the whole file.
        model: timm's encoder; its head may be fresh, nothing else.

    Raises:
        LayoutError: the keys belong to no known layout, or one of the encoder's is missing or has no place there.
            (timm itself is not strict once `num_classes` differs from the file's.)
    """
    layout = recognise_layout(tensors.keys())
    sources, unknown = our_keys(tensors.keys(), layout)
    ours = {key.removeprefix("encoder."): names for key, names in sources.items() if key.startswith("encoder.")}
    wanted = model.state_dict().keys()
    missing = [key for key in wanted if key not in ours and not is_head(key)]
    replaced = "norm." if "fc_norm.weight" in wanted else "head."  # a model with fc_norm has no norm before it
    surplus = [key for key in ours if key not in wanted and not is_head(key) and not key.startswith(replaced)]
    surplus += [key for key in unknown if not is_head(key) and not is_decoder(key, layout)]
    if missing or surplus:
        problem = (
            f"it lacks {', '.join(missing[:6])}" if missing else f"which has no place for {', '.join(surplus[:6])}"
        )
        hint = " It is fine-tuned: pass global_pool='avg', fc_norm=True." if "fc_norm.weight" in ours else ""
        raise LayoutError(f"the {layout} file does not fit timm's encoder: {problem}.{hint}")
    found = {key: torch.cat([tensors[name].float() for name in ours[key]]) for key in wanted if key in ours}
    return dict(checkpoint_filter_fn(found, model))


def _verified_file(variant: Variant, config: Any, cache_dir: str | Path | None) -> dict[str, str | None]:
    """Return timm's `file` for the weights that its configuration names."""
    fields = config if isinstance(config, dict) else vars(config) if hasattr(config, "tag") else {"tag": config}
    if fields.get("source") == "local-dir":
        return {"file": str(weights_in(user_path(fields["file"]))), "source": None}
    if fields.get("source") == "hf-hub":
        path = Repository.parse(fields["hf_hub_id"]).fetch(cache_dir=cache_dir)
        return {"file": str(path), "source": None}
    tag = fields.get("tag")
    entry = load_manifest().find(f"{variant.name}.{tag}" if tag else variant.name)
    return {"file": str(fetch(entry, cache_dir=cache_dir))}
