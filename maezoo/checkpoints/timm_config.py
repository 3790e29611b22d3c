"""timm's config.json, read and written: timm builds an encoder from it, and maezoo the autoencoder."""

from collections.abc import Container, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from maezoo.checkpoints.bounds import bounded_preprocessing, plain_text
from maezoo.checkpoints.configs import CONFIG, read_json, reading
from maezoo.checkpoints.metadata import WeightsMetadata
from maezoo.checkpoints.timm_model import variant_in_timm
from maezoo.errors import LayoutError
from maezoo.images.preprocessing import Preprocessing
from maezoo.manifest.description import Description
from maezoo.model.facts import PAPER, Facts
from maezoo.model.variants import Variant

__all__ = ["default_pool", "head_facts", "read_timm", "timm_config"]

# timm's own names; of other sizes the base's, whose numbers `model_args` all replace.
_TIMM_NAMES = {
    "mae_vit_tiny": "vit_tiny_patch16_224",
    "mae_vit_small": "vit_small_patch16_224",
    "mae_vit_base": "vit_base_patch16_224",
    "mae_vit_large": "vit_large_patch16_224",
    "mae_vit_huge": "vit_huge_patch14_224",
}
_POOLS = ("token", "avg", "avgmax", "max", "map")
_KEPT = ("label_names", "label_descriptions")


def read_timm(config: Mapping[str, Any], where: Path) -> Description:
    """Describe a timm model; a timm configuration does not name the target."""
    with reading(where, "how images are prepared"):
        architecture = plain_text(config["architecture"], "architecture")
        arguments = dict(config.get("model_args") or {})
        fields = {**config, **config.get("pretrained_cfg", {})}
        mode = fields.get("crop_mode", "center")
        if mode not in ("center", "squash"):
            raise LayoutError(
                f"{where}: crop_mode {mode!r} is not supported.", path=where, expected=("center", "squash"), found=mode
            )
        size = arguments.get("img_size") or fields["input_size"][1:]
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
        arguments = {"in_chans": fields.get("input_size", [3])[0], **arguments, "img_size": [height, width]}
    variant, known = variant_in_timm(architecture, arguments, where) or (None, None)
    return Description(variant, None, preprocess, license_, f"timm's {architecture}", known)


def timm_config(
    metadata: WeightsMetadata, shapes: Mapping[str, tuple[int, ...]], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a config.json from which timm alone builds an encoder, its trained head included.

    Args:
        metadata: of the weights.
        shapes: of the tensors, by timm's names.
        facts: what the source said of its head, from `head_facts`.
    """
    variant = metadata.variant
    in_chans = shapes["patch_embed.proj.weight"][1]
    head = shapes.get("head.weight")
    fc_norm = "fc_norm.weight" in shapes
    config = _config(_TIMM_NAMES.get(variant.name, "vit_base_patch16_224"), metadata, in_chans, facts)
    pool = facts.get("global_pool") or default_pool(shapes)
    config["global_pool"] = pool
    config["num_classes"] = config["pretrained_cfg"]["num_classes"] = head[0] if head else 0
    numbers = _numbers(variant, metadata.preprocess, replace(metadata.facts, in_chans=in_chans))
    config["model_args"] = {**numbers, "global_pool": pool, "fc_norm": fc_norm}
    if facts.get("dynamic_img_size"):
        config["model_args"]["dynamic_img_size"] = True
    return config


def default_pool(names: Container[str]) -> str:
    """Return how timm would pool for a head, told by the tensors' names alone."""
    return "avg" if "fc_norm.weight" in names else "map" if "attn_pool.latent" in names else "token"


def head_facts(folder: Path) -> dict[str, Any]:
    """Return what a source's config.json says of its use: the labels, how a head's input is pooled, free sizes."""
    config = read_json(folder / CONFIG) or {}
    inner = config.get("pretrained_cfg")
    fields = {**inner, **config} if isinstance(inner, dict) else config
    if "labels" in fields:  # timm's older name of it
        fields = {"label_names": fields["labels"], **fields}
    facts = {name: fields[name] for name in _KEPT if isinstance(fields.get(name), list | dict)}
    numbered = fields.get("id2label")  # transformers'
    if isinstance(numbered, dict) and "label_names" not in facts and all(key.isdecimal() for key in numbered):
        facts["label_names"] = [plain_text(str(numbered[key]), "id2label") for key in sorted(numbered, key=int)]
    arguments = config.get("model_args")
    arguments = arguments if isinstance(arguments, dict) else {}
    if arguments.get("dynamic_img_size") is True:
        facts["dynamic_img_size"] = True
    pool = arguments.get("global_pool") or fields.get("global_pool")
    return facts | ({"global_pool": pool} if pool in _POOLS else {})


def _numbers(variant: Variant, preprocess: Preprocessing, facts: Facts) -> dict[str, Any]:
    """Return timm's arguments for an encoder, the rare ones only where they are needed.

    timm's configurations cannot say the norms' epsilon: timm alone computes with 1e-6, maezoo with the weights' own.
    """
    unusual: dict[str, Any] = {}
    if facts.class_tokens > 1:
        unusual["reg_tokens"] = facts.class_tokens - 1
    if facts.mlp_ratio != PAPER.mlp_ratio:
        unusual["mlp_ratio"] = facts.mlp_ratio
    return {
        "img_size": list(preprocess.size),
        "patch_size": variant.patch_size,
        "embed_dim": variant.embed_dim,
        "depth": variant.depth,
        "num_heads": variant.num_heads,
        "in_chans": facts.in_chans,
        "class_token": True,
        **unusual,
    }


def _config(architecture: str, metadata: WeightsMetadata, in_chans: int, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what both kinds share."""
    preprocess = metadata.preprocess
    return {
        "architecture": architecture,
        "num_classes": 0,
        "num_features": metadata.variant.embed_dim,
        "global_pool": "token",
        **{name: facts[name] for name in _KEPT if name in facts},
        "pretrained_cfg": {
            **({"tag": metadata.target} if metadata.target is not None else {}),
            "custom_load": False,
            "input_size": [in_chans, *preprocess.size],
            "fixed_input_size": True,
            "interpolation": preprocess.interpolation,
            "crop_pct": preprocess.crop_pct,
            "crop_mode": "squash" if preprocess.resize == "squash" else "center",
            "mean": list(preprocess.mean),
            "std": list(preprocess.std),
            "num_classes": 0,
            "pool_size": None,
            "first_conv": "patch_embed.proj",
            "classifier": "head",
            "license": metadata.license,
        },
        "maezoo": metadata.to_data(),
    }
