"""The configuration files beside a weights file: transformers', timm's and ours, read and written."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from maezoo.checkpoints.bounds import bounded_preprocessing, bounded_variant, norm_epsilon, plain_text
from maezoo.checkpoints.metadata import WeightsMetadata
from maezoo.errors import ArgumentError, LayoutError
from maezoo.images.preprocessing import Preprocessing
from maezoo.manifest.description import Description
from maezoo.model.variants import VARIANTS, Variant

__all__ = [
    "describe_folder",
    "norm_epsilon_beside",
    "read_json",
    "transformers_config",
    "transformers_preprocessor",
]

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
_MOST_BYTES = 16 * 2**20
_RESAMPLING = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # PIL's numbers
_TRANSFORMERS_NUMBERS = {
    "patch_size": "patch_size",
    "hidden_size": "embed_dim",
    "num_hidden_layers": "depth",
    "num_attention_heads": "num_heads",
    "decoder_hidden_size": "decoder_dim",
    "decoder_num_hidden_layers": "decoder_depth",
    "decoder_num_attention_heads": "decoder_heads",
}


def describe_folder(folder: Path) -> Description:
    """Read what the configuration files of a folder say of the weights in it; nothing, where there are none.

    Raises:
        LayoutError: a file is no JSON, or describes an architecture or a preparation that maezoo does not have.
    """
    config = read_json(folder / CONFIG)
    if config is None:
        return Description()
    where = folder / CONFIG
    if "maezoo" in config:
        found = WeightsMetadata.from_data(config["maezoo"], where)
        return Description(found.variant, found.target, found.preprocess, found.license, found.origin)
    if "architecture" in config:
        return _from_timm(config, where)
    if "hidden_size" in config:
        described = _from_transformers(config, where)
        preprocessor = read_json(folder / PREPROCESSOR)
        if preprocessor is None:
            return described
        return described.filled_from(Description(preprocess=_preparation(preprocessor, folder / PREPROCESSOR)))
    raise LayoutError(
        f"{where} is neither timm's, nor transformers', nor maezoo's: it has {', '.join(sorted(config))}."
    )


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; `None` when there is no such file.

    Raises:
        LayoutError: it is something else, or larger than a configuration can be.
    """
    if not path.is_file():
        return None
    if path.stat().st_size > _MOST_BYTES:
        raise LayoutError(f"{path} has {path.stat().st_size} bytes: no configuration of a model is that large.")
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))  # some editors put a mark of byte order before it
    except (ValueError, RecursionError) as error:
        raise LayoutError(f"{path} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise LayoutError(f"{path} must be a JSON object, not a {type(data).__name__}.")
    return data


def norm_epsilon_beside(path: Path) -> float | None:
    """Return the LayerNorm epsilon that transformers' config.json beside a weights file asks for, if there is one.

    Raises:
        LayoutError: the config.json is no JSON object, or its epsilon no positive number.
    """
    epsilon = (read_json(path.parent / CONFIG) or {}).get("layer_norm_eps")
    if epsilon is None:
        return None
    try:
        return norm_epsilon(epsilon)
    except ValueError as error:
        raise LayoutError(f"{path.parent / CONFIG}: layer_norm_eps: {error}.") from error


def _from_transformers(config: Mapping[str, Any], where: Path) -> Description:
    """Describe a ViTMAE or ViT model of transformers."""
    for key, needed in (("hidden_act", "gelu"), ("qkv_bias", True)):
        if config.get(key, needed) != needed:
            raise LayoutError(f"{where}: {key} is {config[key]!r}; maezoo's models have {needed!r}.")
    with _reading(where, "what the ViT is"):
        for key, width in (("intermediate_size", "hidden_size"), ("decoder_intermediate_size", "decoder_hidden_size")):
            if key in config and config[key] != 4 * config.get(width, 0):
                raise LayoutError(f"{where}: {key} is {config[key]}; maezoo's models have 4 x {width}.")
        full = "decoder_hidden_size" in config
        numbers = {
            ours: config[theirs] if full or not ours.startswith("decoder") else 0
            for theirs, ours in _TRANSFORMERS_NUMBERS.items()
        }
        for field in ("patch_size", "img_size"):
            value = config["image_size"] if field == "img_size" else numbers[field]
            numbers[field] = _side(value, field)
        variant = _named(bounded_variant({"name": "", **numbers}))
        if variant.img_size % variant.patch_size:
            raise ArgumentError(f"image_size {variant.img_size} is no multiple of patch_size {variant.patch_size}")
    target: Literal["normpix", "pixel"] | None = None
    if "norm_pix_loss" in config:
        if not isinstance(config["norm_pix_loss"], bool):
            raise LayoutError(f"{where}: norm_pix_loss is {config['norm_pix_loss']!r}; it should be true or false.")
        target = "normpix" if config["norm_pix_loss"] else "pixel"
    return Description(variant, target, origin="a transformers folder")


def _side(value: Any, name: str) -> Any:
    """Return the side of a square that may be given as one number or two."""
    if not isinstance(value, list):
        return value
    if len(value) != 2 or value[0] != value[1]:
        raise ArgumentError(f"{name} is {value}; only squares are supported in transformers' layout")
    return value[0]


def _named(variant: Variant) -> Variant:
    """Return the zoo's architecture with these numbers, or the variant under a name of its own."""
    for known in VARIANTS.values():
        if all(
            getattr(variant, field) == getattr(known, field)
            or (field.startswith("decoder") and variant.decoder_dim == 0)
            for field in _TRANSFORMERS_NUMBERS.values()
        ):
            return known
    return Variant(**{**asdict(variant), "name": f"mae_vit_{variant.embed_dim}x{variant.depth}"})


def _preparation(config: Mapping[str, Any], where: Path) -> Preprocessing:
    """Read a transformers image processor's configuration."""
    if not config.get("do_rescale", True) or not config.get("do_resize", True):
        raise LayoutError(f"{where}: images that are not rescaled or resized are not supported.")
    with _reading(where, "how images are prepared"):
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


@contextmanager
def _reading(where: Path, what: str) -> Iterator[None]:
    """Turn the errors of reading foreign data into ours."""
    try:
        yield
    except LayoutError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise LayoutError(f"{where} does not say {what}: {error!r}.") from error


def _size(config: Mapping[str, Any]) -> tuple[tuple[int, int], str, float]:
    """Return a processor's size (H, W), its resize rule and the share that its crop keeps."""
    size = config["size"]
    shortest = size.get("shortest_edge") if isinstance(size, dict) else None
    if config.get("do_center_crop"):
        crop = config["crop_size"]
        h, w = (crop, crop) if isinstance(crop, int) else (crop["height"], crop["width"])
        if shortest is None or h != w:
            raise LayoutError("only square centre crops behind a resize of the shortest edge are supported.")
        return (h, w), "crop", h / shortest
    if shortest is not None:
        raise LayoutError("a shortest_edge without do_center_crop gives images of all shapes.")
    return ((size, size) if isinstance(size, int) else (size["height"], size["width"])), "squash", 1.0


def _from_timm(config: Mapping[str, Any], where: Path) -> Description:
    """Describe a timm model. timm does not know of targets."""
    with _reading(where, "how images are prepared"):
        architecture = plain_text(config["architecture"], "architecture")
        fields = {**config, **config.get("pretrained_cfg", {})}
        mode = fields.get("crop_mode", "center")
        if mode not in ("center", "squash"):
            raise LayoutError(f"{where}: crop_mode {mode!r} is not supported.")
        size = (config.get("model_args") or {}).get("img_size") or fields["input_size"][1:]
        height, width = (size, size) if isinstance(size, int) else size
        preprocess = bounded_preprocessing(
            Preprocessing(
                size=(height, width),
                resize="squash" if mode == "squash" else "crop",
                crop_pct=1.0 if mode == "squash" else fields["crop_pct"],
                interpolation=fields["interpolation"],
                mean=tuple(fields["mean"]),
                std=tuple(fields["std"]),
            )
        )
        license_ = fields.get("license")
        if license_ is not None:
            license_ = plain_text(license_, "license")
    variant = VARIANTS.get(architecture)  # of others the tensors' shapes tell
    return Description(variant, None, preprocess, license_, f"timm's {architecture}")


def transformers_config(metadata: WeightsMetadata, in_chans: int) -> dict[str, Any]:
    """Return transformers' config.json for a ViTMAEForPreTraining."""
    variant = metadata.variant
    numbers = {theirs: getattr(variant, ours) for theirs, ours in _TRANSFORMERS_NUMBERS.items()}
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
