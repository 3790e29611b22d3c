"""timm's plain ViTs: what a name and arguments of timm's build, and where a model differs from it. No weights."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from timm.models import VisionTransformer
from torch import nn

from maezoo.checkpoints.bounds import NORM_EPSILON
from maezoo.checkpoints.layouts import is_head
from maezoo.checkpoints.metadata import WeightsMetadata
from maezoo.errors import LayoutError
from maezoo.images.preprocessing import Preprocessing
from maezoo.model.build import build_encoder, empty_weights
from maezoo.model.facts import Facts
from maezoo.model.variants import VARIANTS, Variant, facts_in, named_variant
from maezoo.vocabulary import Target

__all__ = ["check_rebuilds", "facts_of", "metadata_of", "variant_in_timm", "variant_of"]

_FAMILIES = ["vision_transformer", "deit"]  # timm's modules with plain ViTs in them
_MOST = 65_536
_COUNTS = ("depth", "embed_dim", "num_heads", "patch_size", "in_chans")  # at least 1
_MOST_BLOCKS = 1_024
_DROPS = (nn.Dropout, nn.Identity)


def variant_in_timm(architecture: str, arguments: Mapping[str, Any], where: Path) -> tuple[Variant, Facts] | None:
    """Return the numbers and facts of what timm's name and arguments build; `None` where timm knows no such name.

    Args:
        architecture: timm's name, or one of ours, without a tag.
        arguments: for timm, read from a configuration.
        where: the configuration.

    Raises:
        LayoutError: what they build is not a ViT as ours are, or nothing that can be built.
    """
    known = {key: _bounded(key, value, where) for key, value in arguments.items() if "drop" not in key}
    try:
        theirs = _build(architecture, known)
        if theirs is None:
            return None
        variant = variant_of(theirs)
        with empty_weights():
            ours = build_encoder(
                variant,
                facts=facts_of(theirs),
                init=False,
                img_size=theirs.patch_embed.img_size,
                global_pool=theirs.global_pool,
                fc_norm=isinstance(theirs.fc_norm, nn.LayerNorm),
            )
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError, AssertionError, ArithmeticError) as error:
        message = f"{where}: timm's {architecture} with {known} cannot be built as a plain ViT: {error}."
        raise LayoutError(message, path=where, reason=repr(error)) from error
    difference = first_difference(theirs, ours, heads=False)
    if difference:
        message = (
            f"{where}: timm's {architecture} is not a plain ViT, as maezoo's are: {difference}. timm loads it: "
            f"timm.create_model('local-dir:{where.parent}', pretrained=True)."
        )
        raise LayoutError(message, path=where, found=difference)
    return variant, facts_of(theirs)


def _build(architecture: str, arguments: dict[str, Any]) -> Any:
    """Build a ViT by timm's name or ours, without memory; `None` where neither knows it."""
    import timm

    with empty_weights():
        if architecture in VARIANTS:
            return build_encoder(VARIANTS[architecture], init=False, **arguments)
        if not timm.is_model(architecture):
            return None
        if not timm.models.is_model_in_modules(architecture, _FAMILIES):
            raise ValueError("it is of another family; timm itself loads it")
        return timm.create_model(architecture, **arguments)


def _bounded(key: str, value: Any, where: Path) -> Any:
    """Return an argument that a ViT could have."""
    values = value if isinstance(value, list) and key.endswith("_size") and len(value) == 2 else [value]
    most = _MOST_BLOCKS if key == "depth" else _MOST
    for each in values:
        number = isinstance(each, int | float) and not isinstance(each, bool)
        other = isinstance(each, bool | str | None) and key not in _COUNTS
        if not (number and int(key in _COUNTS) <= each <= most) and not other:
            message = f"{where}: model_args has {key} = {str(value)[:60]}, which is no argument of a ViT."
            raise LayoutError(message, path=where, found=value)
    return value


def variant_of(encoder: VisionTransformer) -> Variant:
    """Return the numbers of an encoder, called as in the zoo if it has them."""
    blocks: Any = encoder.blocks
    patch: Any = encoder.patch_embed
    numbers = {
        "patch_size": int(patch.patch_size[0]),
        "embed_dim": int(encoder.embed_dim),
        "depth": len(blocks),
        "num_heads": int(blocks[0].attn.num_heads),
    }
    return named_variant(int(patch.img_size[0]), numbers, int(encoder.num_prefix_tokens))


def facts_of(encoder: VisionTransformer) -> Facts:
    """Return what an encoder tells of its weights' facts; how it resizes positions is timm's way, unless it is ours."""
    norm: Any = encoder.norm if isinstance(encoder.norm, nn.LayerNorm) else encoder.fc_norm
    shapes = {f"encoder.{key}": tuple(tensor.shape) for key, tensor in encoder.state_dict().items()}
    known = variant_of(encoder).facts
    return facts_in(shapes, replace(known, norm_epsilon=float(getattr(norm, "eps", NORM_EPSILON))))


def metadata_of(
    model: VisionTransformer, preprocess: Preprocessing, *, target: Target | None, license: str, origin: str
) -> WeightsMetadata:
    """Return what a file of an encoder should say of itself."""
    facts = facts_of(model)
    return WeightsMetadata(variant_of(model), target, preprocess, ("encoder",), license, origin, facts)


def check_rebuilds(model: VisionTransformer, config: Mapping[str, Any]) -> None:
    """Refuse a model that timm would not build again from a configuration.

    Raises:
        LayoutError: it has parts that the configuration does not tell; the message names the first.
    """
    import timm

    with empty_weights():
        again = timm.create_model(config["architecture"], num_classes=config["num_classes"], **config["model_args"])
    difference = first_difference(model, again, heads=True)
    if difference:
        message = f"this model is not a plain ViT of timm's: {difference}. timm's own save_for_hf may write it."
        raise LayoutError(message, found=difference)


def first_difference(theirs: nn.Module, ours: nn.Module, *, heads: bool) -> str:
    """Say where two ViTs differ: a tensor, its shape, or how something is computed; nothing where they do not."""
    shapes = [
        {key: tuple(tensor.shape) for key, tensor in each.state_dict().items() if heads or not is_head(key)}
        for each in (theirs, ours)
    ]
    for key in [*shapes[0], *shapes[1]]:
        if shapes[0].get(key) != shapes[1].get(key):
            return f"{key} has shape {shapes[0].get(key)}, not {shapes[1].get(key)}"
    for flag in ("has_class_token", "num_prefix_tokens", "no_embed_class", "pool_include_prefix"):
        if getattr(theirs, flag, None) != getattr(ours, flag, None):
            return f"{flag} is {getattr(theirs, flag, None)}"
    modules = [dict(each.named_modules()) for each in (theirs, ours)]
    for name, module in modules[0].items():
        other = modules[1].get(name)
        if is_head(f"{name}.") and not heads:
            continue
        if not list(module.children()) and _computes(module) != _computes(other):
            return f"{name} is {module}, not {other}"
    return ""


def _computes(module: nn.Module | None) -> str:
    """Describe a module without children; what only training feels is left out."""
    if module is None or isinstance(module, _DROPS) or type(module).__name__ in ("DropPath", "PatchDropout"):
        return ""
    return repr(module)
