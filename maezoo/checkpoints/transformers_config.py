"""transformers' config.json and preprocessor_config.json, read and written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maezoo.checkpoints.bounds import (
    LARGEST_SIDE,
    bounded_facts,
    bounded_preprocessing,
    bounded_variant,
    norm_epsilon,
    whole_number,
)
from maezoo.checkpoints.configs import reading
from maezoo.checkpoints.metadata import WeightsMetadata
from maezoo.errors import ArgumentError, LayoutError
from maezoo.images.preprocessing import Preprocessing
from maezoo.manifest.description import Description
from maezoo.model.facts import PAPER, PIXIO, Facts
from maezoo.model.variants import named_variant
from maezoo.vocabulary import Target

__all__ = ["read_preprocessor", "read_transformers", "transformers_config", "transformers_preprocessor"]

_RESAMPLING = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # PIL's numbers
# What transformers has no words for, each under a key of ours: of the preparation, and of the model.
_OWN_PREPARATION = ("bands", "window", "clip", "kind")
_OWN_FACTS, _FACTS_KEY = ("positions", "resampling", "pooling"), "maezoo_facts"
_NUMBERS = {
    "patch_size": "patch_size",
    "hidden_size": "embed_dim",
    "num_hidden_layers": "depth",
    "num_attention_heads": "num_heads",
    "decoder_hidden_size": "decoder_dim",
    "decoder_num_hidden_layers": "decoder_depth",
    "decoder_num_attention_heads": "decoder_heads",
}


def read_transformers(config: Mapping[str, Any], where: Path) -> Description:
    """Describe a ViTMAE, ViT or Pixio model of transformers."""
    for key, needed in (("hidden_act", "gelu"), ("qkv_bias", True)):
        if config.get(key, needed) != needed:
            message = f"{where}: {key} is {config[key]!r}; maezoo's models have {needed!r}."
            raise LayoutError(message, path=where, expected=needed, found=config[key])
    with reading(where, "what the ViT is"):
        facts = _facts(config)
        full = "decoder_hidden_size" in config
        numbers = {
            ours: config[theirs] if full or not ours.startswith("decoder") else 0 for theirs, ours in _NUMBERS.items()
        }
        H, W = _sides(config["image_size"])
        sides = _sides(numbers["patch_size"])
        if sides[0] != sides[1]:
            raise ArgumentError(f"patch_size is {sides}; maezoo's patches are squares")
        numbers |= {"img_size": H, "patch_size": sides[0]}
        bounded = bounded_variant({"name": "", **numbers})
        used = [field for field in _NUMBERS.values() if bounded.decoder_dim or not field.startswith("decoder")]
        numbers = {field: getattr(bounded, field) for field in used}
        variant = named_variant(bounded.img_size, numbers, facts.class_tokens)
        if H % variant.patch_size or W % variant.patch_size:
            raise ArgumentError(f"image_size {H}x{W} is no multiple of patch_size {variant.patch_size}")
    target: Target | None = None
    if "norm_pix_loss" in config:
        if not isinstance(config["norm_pix_loss"], bool):
            message = f"{where}: norm_pix_loss is {config['norm_pix_loss']!r}; it should be true or false."
            raise LayoutError(message, path=where, found=config["norm_pix_loss"])
        target = "normpix" if config["norm_pix_loss"] else "pixel"
    return Description(variant, target, origin="a transformers folder", facts=facts, trained_size=(H, W))


def _facts(config: Mapping[str, Any]) -> Facts:
    """Return what a configuration says of its weights beyond an architecture's numbers."""
    class_tokens = config.get("n_cls_tokens", 1)
    known = PIXIO if class_tokens != 1 else PAPER
    said: dict[str, Any] = {"class_tokens": class_tokens, "in_chans": config.get("num_channels", 3)}
    if "layer_norm_eps" in config:
        try:
            said["norm_epsilon"] = norm_epsilon(config["layer_norm_eps"])
        except ArgumentError as error:
            raise ArgumentError(f"layer_norm_eps: {error}", found=config["layer_norm_eps"]) from error
    ratios = {config["mlp_ratio"]} if "mlp_ratio" in config else set()
    for key, width in (("intermediate_size", "hidden_size"), ("decoder_intermediate_size", "decoder_hidden_size")):
        if config.get(key) and (key == "intermediate_size" or config.get(width)):
            ratios.add(config[key] / config[width])
    if len(ratios) > 1:
        shown = " and ".join(map(str, sorted(ratios)))
        raise ArgumentError(
            f"intermediate_size is {shown} times the width in encoder and decoder; one ratio is supported"
        )
    if ratios:
        said["mlp_ratio"] = ratios.pop()
    own = config.get(_FACTS_KEY, {})
    return bounded_facts({**said, **{name: own[name] for name in _OWN_FACTS if name in own}}, known)


def read_preprocessor(config: Mapping[str, Any], where: Path) -> Preprocessing:
    """Read a transformers image processor's configuration."""
    if not config.get("do_rescale", True) or not config.get("do_resize", True):
        raise LayoutError(f"{where}: images that are not rescaled or resized are not supported.", path=where)
    with reading(where, "how images are prepared"):
        factor = config.get("rescale_factor") or 1 / 255
        if abs(factor * 255 - 1) > 1e-3:
            message = f"{where}: rescale_factor is {factor}; maezoo's images become numbers from 0 to 1, by 1/255."
            raise LayoutError(message, path=where, expected=1 / 255, found=factor)
        size, resize, crop_pct = _size(config)
        normalised = config.get("do_normalize", True)
        own = config.get("maezoo", {})
        return bounded_preprocessing(
            Preprocessing.from_dict(
                {
                    "size": size,
                    "resize": resize,
                    "crop_pct": crop_pct,
                    "interpolation": _RESAMPLING[config["resample"]],
                    "mean": tuple(config["image_mean"]) if normalised else (0.0, 0.0, 0.0),
                    "std": tuple(config["image_std"]) if normalised else (1.0, 1.0, 1.0),
                    **{name: own[name] for name in _OWN_PREPARATION if name in own},
                }
            )
        )


def _sides(value: Any) -> tuple[int, int]:
    """Return height and width, which may be given as one number or two."""
    sides = value if isinstance(value, list) else [value, value]
    if len(sides) != 2:
        raise ArgumentError(f"a size is {value}; it should be one number or two")
    H, W = (whole_number(side, "a size", 1, LARGEST_SIDE) for side in sides)
    return H, W


def _size(config: Mapping[str, Any]) -> tuple[tuple[int, int], str, float]:
    """Return a processor's size (H, W), its resize rule and the share that its crop keeps."""
    size = config["size"]
    shortest = size.get("shortest_edge") if isinstance(size, dict) else None
    if config.get("do_center_crop"):
        crop = config["crop_size"]
        h, w = (crop, crop) if isinstance(crop, int) else (crop["height"], crop["width"])
        if shortest is None or h != w:
            raise LayoutError("only square centre crops after a resize of the shortest edge are supported.")
        return (h, w), "crop", h / shortest
    if shortest is not None:
        raise LayoutError("a shortest_edge without do_center_crop gives images of all shapes.")
    return ((size, size) if isinstance(size, int) else (size["height"], size["width"])), "squash", 1.0


def transformers_config(metadata: WeightsMetadata) -> dict[str, Any]:
    """Return transformers' config.json for a ViTMAEForPreTraining, or for a PixioModel of several class tokens."""
    found = _config(metadata)
    usual = _facts(found)
    facts = {name: getattr(metadata.facts, name) for name in _OWN_FACTS}
    own = {name: fact for name, fact in facts.items() if fact != getattr(usual, name)}
    return {**found, **({_FACTS_KEY: own} if own else {})}


def _config(metadata: WeightsMetadata) -> dict[str, Any]:
    """Return all of it that transformers has words for."""
    variant, facts = metadata.variant, metadata.facts
    H, W = metadata.preprocess.size
    shared = {
        "hidden_act": "gelu",
        "qkv_bias": True,
        "layer_norm_eps": facts.norm_epsilon,
        "image_size": H if H == W else [H, W],
        "num_channels": facts.in_chans,
    }
    if facts.class_tokens > 1:
        numbers = {theirs: getattr(variant, ours) for theirs, ours in _NUMBERS.items() if "decoder" not in theirs}
        kind = {"architectures": ["PixioModel"], "model_type": "pixio"}
        ratio = int(facts.mlp_ratio) if facts.mlp_ratio.is_integer() else facts.mlp_ratio  # transformers wants an int
        return {**kind, **numbers, "n_cls_tokens": facts.class_tokens, "mlp_ratio": ratio, **shared}
    numbers = {theirs: getattr(variant, ours) for theirs, ours in _NUMBERS.items()}
    return {
        "architectures": ["ViTMAEForPreTraining" if "decoder" in metadata.parts else "ViTMAEModel"],
        "model_type": "vit_mae",
        **numbers,
        "decoder_intermediate_size": int(facts.mlp_ratio * variant.decoder_dim),
        "intermediate_size": int(facts.mlp_ratio * variant.embed_dim),
        **shared,
        "mask_ratio": 0.75,
        "norm_pix_loss": metadata.target == "normpix",
    }


def transformers_preprocessor(preprocess: Preprocessing) -> dict[str, Any]:
    """Return transformers' preprocessor_config.json."""
    h, w = preprocess.size
    crop = preprocess.resize == "crop"
    own = {name: value for name, value in preprocess.to_dict().items() if name in _OWN_PREPARATION}
    resized = {"shortest_edge": round(h / preprocess.crop_pct)} if crop else {"height": h, "width": w}
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": resized,
        "do_center_crop": crop,
        **({"crop_size": {"height": h, "width": w}} if crop else {}),
        "resample": {name: number for number, name in _RESAMPLING.items()}[preprocess.interpolation],
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(preprocess.mean),
        "image_std": list(preprocess.std),
        **({"maezoo": own} if own else {}),
    }
