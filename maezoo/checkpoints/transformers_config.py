"""transformers' config.json and preprocessor_config.json, read and written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maezoo.checkpoints.bounds import bounded_preprocessing, bounded_variant
from maezoo.checkpoints.configs import reading
from maezoo.checkpoints.metadata import WeightsMetadata
from maezoo.errors import ArgumentError, LayoutError
from maezoo.images.preprocessing import Preprocessing
from maezoo.manifest.description import Description
from maezoo.model.variants import named_variant
from maezoo.vocabulary import Target

__all__ = ["read_preprocessor", "read_transformers", "transformers_config", "transformers_preprocessor"]

_RESAMPLING = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # PIL's numbers
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
    """Describe a ViTMAE or ViT model of transformers."""
    for key, needed in (("hidden_act", "gelu"), ("qkv_bias", True)):
        if config.get(key, needed) != needed:
            message = f"{where}: {key} is {config[key]!r}; maezoo's models have {needed!r}."
            raise LayoutError(message, path=where, expected=needed, found=config[key])
    with reading(where, "what the ViT is"):
        for key, width in (("intermediate_size", "hidden_size"), ("decoder_intermediate_size", "decoder_hidden_size")):
            if key in config and config[key] != 4 * config.get(width, 0):
                message = f"{where}: {key} is {config[key]}; maezoo's models have 4 x {width}."
                raise LayoutError(message, path=where, found=config[key])
        full = "decoder_hidden_size" in config
        numbers = {
            ours: config[theirs] if full or not ours.startswith("decoder") else 0 for theirs, ours in _NUMBERS.items()
        }
        for field in ("patch_size", "img_size"):
            value = config["image_size"] if field == "img_size" else numbers[field]
            numbers[field] = _side(value, field)
        bounded = bounded_variant({"name": "", **numbers})
        used = [field for field in _NUMBERS.values() if bounded.decoder_dim or not field.startswith("decoder")]
        variant = named_variant(bounded.img_size, {field: getattr(bounded, field) for field in used})
        if variant.img_size % variant.patch_size:
            raise ArgumentError(f"image_size {variant.img_size} is no multiple of patch_size {variant.patch_size}")
    target: Target | None = None
    if "norm_pix_loss" in config:
        if not isinstance(config["norm_pix_loss"], bool):
            message = f"{where}: norm_pix_loss is {config['norm_pix_loss']!r}; it should be true or false."
            raise LayoutError(message, path=where, found=config["norm_pix_loss"])
        target = "normpix" if config["norm_pix_loss"] else "pixel"
    return Description(variant, target, origin="a transformers folder")


def read_preprocessor(config: Mapping[str, Any], where: Path) -> Preprocessing:
    """Read a transformers image processor's configuration."""
    if not config.get("do_rescale", True) or not config.get("do_resize", True):
        raise LayoutError(f"{where}: images that are not rescaled or resized are not supported.", path=where)
    with reading(where, "how images are prepared"):
        size, resize, crop_pct = _size(config)
        normalised = config.get("do_normalize", True)
        return bounded_preprocessing(
            Preprocessing(
                size=size,
                resize=resize,
                crop_pct=crop_pct,
                interpolation=_RESAMPLING[config["resample"]],
                mean=tuple(config["image_mean"]) if normalised else (0.0, 0.0, 0.0),
                std=tuple(config["image_std"]) if normalised else (1.0, 1.0, 1.0),
            )
        )


def _side(value: Any, name: str) -> Any:
    """Return the side of a square that may be given as one number or two."""
    if not isinstance(value, list):
        return value
    if len(value) != 2 or value[0] != value[1]:
        raise ArgumentError(f"{name} is {value}; only squares are supported in transformers' layout")
    return value[0]


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


def transformers_config(metadata: WeightsMetadata, in_chans: int) -> dict[str, Any]:
    """Return transformers' config.json for a ViTMAEForPreTraining."""
    variant = metadata.variant
    numbers = {theirs: getattr(variant, ours) for theirs, ours in _NUMBERS.items()}
    return {
        "architectures": ["ViTMAEForPreTraining" if "decoder" in metadata.parts else "ViTMAEModel"],
        "model_type": "vit_mae",
        **numbers,
        "decoder_intermediate_size": 4 * variant.decoder_dim,
        "intermediate_size": 4 * variant.embed_dim,
        "hidden_act": "gelu",
        "qkv_bias": True,
        "layer_norm_eps": metadata.norm_epsilon,
        "image_size": metadata.preprocess.size[0],
        "num_channels": in_chans,
        "mask_ratio": 0.75,
        "norm_pix_loss": metadata.target == "normpix",
    }


def transformers_preprocessor(preprocess: Preprocessing) -> dict[str, Any]:
    """Return transformers' preprocessor_config.json."""
    h, w = preprocess.size
    crop = preprocess.resize == "crop"
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
    }
