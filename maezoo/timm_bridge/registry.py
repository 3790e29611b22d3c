"""Our encoders in timm's registry: `timm.create_model("mae_vit_base.in1k_normpix", pretrained=True)`.

Those with one class token are there twice: as a plain `VisionTransformer`, and with a feature pyramid as
`mae_vit_base_pyramid`.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from maezoo.manifest.entries import WeightsEntry, load_manifest
from maezoo.manifest.support import obstacles
from maezoo.model.variants import VARIANTS, Variant

if TYPE_CHECKING:
    from timm.models._pretrained import DefaultCfg, PretrainedCfg
    from torch import nn

__all__ = ["register"]

default_cfgs: "dict[str, DefaultCfg]" = {}  # timm looks for this name in the module of each entry point


def register() -> None:
    """Register the architectures and the manifest's weights with the timm that is imported; may be called again."""
    manifest = load_manifest()
    for variant in VARIANTS.values():
        known = [entry for entry in manifest.entries.values() if entry.architecture == variant.name]
        entries = [entry for entry in known if not obstacles(entry)]
        entries.sort(key=lambda entry: entry.tag != manifest.defaults.get(variant.name))
        _register(variant.name, _encoder_entry_point(variant), _default_cfg(variant, entries, _encoder_cfg))
        if variant.facts.class_tokens == 1:  # a pyramid takes no other prefix
            config = _default_cfg(variant, entries, _pyramid_cfg)
            _register(f"{variant.name}_pyramid", _pyramid_entry_point(variant), config)


def _register(name: str, build: "Callable[..., nn.Module]", config: "DefaultCfg") -> None:
    """Register a function that makes models, unless the name is there already."""
    from timm.models import is_model, register_model

    if not is_model(name):
        default_cfgs[name] = config
        register_model(_named(build, name))


def _named(build: "Callable[..., nn.Module]", name: str) -> "Callable[..., nn.Module]":
    """Make a function one that timm registers under a name."""
    build.__name__ = build.__qualname__ = name
    build.__module__ = __name__
    return build


def _encoder_entry_point(variant: Variant) -> "Callable[..., nn.Module]":
    """Make the function that timm calls for an architecture."""

    def build(pretrained: bool = False, **kwargs: Any) -> "nn.Module":
        from maezoo.timm_bridge.encoder import (
            build_timm_encoder,  # at the first use: this module is read while timm is imported
        )

        return build_timm_encoder(variant, pretrained, **kwargs)

    build.__doc__ = f"{variant.name}: a masked-autoencoder encoder, as a plain timm VisionTransformer."
    return build


def _pyramid_entry_point(variant: Variant) -> "Callable[..., nn.Module]":
    """Make the function that timm calls for an architecture with a feature pyramid."""

    def build(pretrained: bool = False, **kwargs: Any) -> "nn.Module":
        from maezoo.timm_bridge.pyramid import build_timm_pyramid  # at the first use, as above

        return build_timm_pyramid(variant, pretrained, **kwargs)

    build.__doc__ = f"{variant.name} with a simple feature pyramid: maps of the strides 4, 8, 16 and 32."
    return build


def _default_cfg(
    variant: Variant,
    entries: list[WeightsEntry],
    configure: "Callable[[Variant, WeightsEntry | None], PretrainedCfg]",
) -> "DefaultCfg":
    """Describe an architecture's weights to timm; the first are the default."""
    from timm.models._pretrained import DefaultCfg

    if not entries:
        return DefaultCfg(tags=deque([""]), cfgs={"": configure(variant, None)})
    tags = deque(entry.tag for entry in entries)
    return DefaultCfg(tags=tags, cfgs={entry.tag: configure(variant, entry) for entry in entries})


def _encoder_cfg(variant: Variant, entry: WeightsEntry | None) -> "PretrainedCfg":
    """Return the configuration of a plain encoder for timm."""
    return _plain_cfg(variant) if entry is None else _pretrained_cfg(variant, entry)


def _pyramid_cfg(variant: Variant, entry: WeightsEntry | None) -> "PretrainedCfg":
    """Return the configuration of a pyramid for timm: the encoder's, at the size where its patches are 16 wide."""
    config = _encoder_cfg(variant, entry)
    channels, height, width = config.input_size
    return replace(
        config,
        input_size=(channels, height // variant.patch_size * 16, width // variant.patch_size * 16),
        fixed_input_size=False,
        first_conv="trunk.patch_embed.proj",
        classifier=None,
    )


def _plain_cfg(variant: Variant, **fields: Any) -> "PretrainedCfg":
    """Return the fields that an architecture's weights share."""
    from timm.models._pretrained import PretrainedCfg

    size = variant.img_size
    shared: dict[str, Any] = {
        "input_size": (3, size, size),
        "fixed_input_size": True,
        "num_classes": 0,
        "first_conv": "patch_embed.proj",
        "classifier": "head",
        "paper_name": "Masked Autoencoders Are Scalable Vision Learners",
        "paper_ids": "arXiv:2111.06377",
    }
    return PretrainedCfg(**(shared | fields))


def _pretrained_cfg(variant: Variant, entry: WeightsEntry) -> "PretrainedCfg":
    """Return a weight's configuration for timm: its source, preprocessing and licence."""
    preprocess = entry.preprocess
    if entry.repo_id is None:
        source: dict[str, Any] = {"file": entry.package_file}
    else:
        source = {"hf_hub_id": f"{entry.repo_id}@{entry.revision}", "hf_hub_filename": entry.filename}
    return _plain_cfg(
        variant,
        **source,
        input_size=(entry.facts_of_model.in_chans, *preprocess.size),
        interpolation=preprocess.interpolation,
        crop_pct=preprocess.crop_pct,
        crop_mode="squash" if preprocess.resize == "squash" else "center",
        **{} if "preprocess.mean" in entry.unstated else {"mean": preprocess.mean, "std": preprocess.std},
        license=entry.license,
        origin_url=entry.source_url,
        notes=(entry.notes,) if entry.notes else None,
    )
