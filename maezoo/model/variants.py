"""The sizes, numbers only. No torch here: the command line and timm's registry read them before any model."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from maezoo.errors import UnknownModelError
from maezoo.model.facts import PAPER, PIXIO, Facts, mlp_ratio_of

__all__ = ["VARIANTS", "Variant", "facts_in", "find_variant", "match_variant", "named_variant", "numbers_of"]


@dataclass(frozen=True)
class Variant:
    """One architecture: the numbers of its encoder and of its decoder.

    Three sizes are those of He et al. 2021 (https://arxiv.org/abs/2111.06377, appendix A). `mae_vit_tiny` is ours,
    small enough to be part of the package; `mae_vit_small` is the size that others trained. Pixio's are those of
    its code (https://github.com/facebookresearch/pixio); its decoder's weights are not published.
    """

    name: str
    img_size: int
    patch_size: int
    embed_dim: int
    depth: int
    num_heads: int
    decoder_dim: int
    decoder_depth: int
    decoder_heads: int

    @property
    def facts(self) -> Facts:
        """What weights of this architecture ask of the model, unless they say otherwise."""
        return PIXIO if self.name.startswith("pixio_") else PAPER


VARIANTS = {
    variant.name: variant
    for variant in (
        #        name             img  P   D     depth heads  decoder: D  depth heads
        Variant("mae_vit_tiny",   96,  8,  192,  6,    3,              192, 3,  3),
        Variant("mae_vit_small",  224, 16, 384,  12,   6,              512, 8,  16),
        Variant("mae_vit_base",   224, 16, 768,  12,   12,             512, 8,  16),
        Variant("mae_vit_large",  224, 16, 1024, 24,   16,             512, 8,  16),
        Variant("mae_vit_huge",   224, 14, 1280, 32,   16,             512, 8,  16),
        Variant("pixio_vit_base", 256, 16, 768,  12,   12,             512, 32, 16),
        Variant("pixio_vit_large", 256, 16, 1024, 24,  16,             512, 32, 16),
        Variant("pixio_vit_huge", 256, 16, 1280, 32,   16,             512, 32, 16),
        Variant("pixio_vit_1b",   256, 16, 1536, 48,   24,             512, 32, 16),
        Variant("pixio_vit_5b",   256, 16, 3072, 48,   32,             512, 32, 16),
    )
}  # fmt: skip


def find_variant(name: str) -> Variant:
    """Return the variant called `name`.

    Args:
        name: an architecture name without a tag, such as `"mae_vit_base"`.

    Raises:
        UnknownModelError: no such architecture; the message has the closest names.

    Example:
        >>> find_variant("mae_vit_base").embed_dim
        768
    """
    if name not in VARIANTS:
        raise UnknownModelError.for_name(name, VARIANTS, what="architecture")
    return VARIANTS[name]


def match_variant(numbers: Mapping[str, int], class_tokens: int = 1) -> Variant | None:
    """Return the first variant that has all of these numbers, and class tokens; `None` when there is none.

    Example:
        >>> match_variant({"embed_dim": 768, "patch_size": 16, "depth": 12}).name
        'mae_vit_base'
    """
    for variant in VARIANTS.values():
        if variant.facts.class_tokens == class_tokens and numbers.items() <= vars(variant).items():
            return variant
    return None


def named_variant(img_size: int, numbers: Mapping[str, int], class_tokens: int = 1) -> Variant:
    """Return the variant that has these numbers, or a new one called by its width and depth.

    Args:
        img_size: side of a new variant's input in pixels.
        numbers: of the encoder, and of the decoder if there is one.
        class_tokens: of the encoder.
    """
    none = {"decoder_dim": 0, "decoder_depth": 0, "decoder_heads": 0}
    name = f"mae_vit_{numbers['embed_dim']}x{numbers['depth']}"
    return match_variant(numbers, class_tokens) or Variant(name, img_size, **{**none, **numbers})


def numbers_of(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Return the numbers of an architecture that the shapes of its tensors tell; heads leave no trace there.

    Args:
        shapes: by our keys.
    """
    filters = shapes.get("encoder.patch_embed.proj.weight") or (0,)
    numbers = {"embed_dim": filters[0], "patch_size": filters[-1], "depth": _depth(shapes, "encoder")}
    if "decoder.embed.weight" in shapes:
        numbers["decoder_dim"] = (shapes["decoder.embed.weight"] or (0,))[0]
        numbers["decoder_depth"] = _depth(shapes, "decoder")
    return numbers


def facts_in(shapes: Mapping[str, tuple[int, ...]], known: Facts) -> Facts:
    """Return facts of weights; those that the shapes of their tensors tell are taken from there.

    Args:
        shapes: by our keys.
        known: what else is known of the weights.

    Example:
        >>> facts_in({"encoder.reg_token": (1, 7, 768), "encoder.cls_token": (1, 1, 768)}, PAPER).class_tokens
        8
    """
    told: dict[str, float] = {}
    filters = shapes.get("encoder.patch_embed.proj.weight", ())
    if len(filters) == 4:
        told["in_chans"] = filters[1]
    tokens = [shape for key in ("cls_token", "reg_token") if len(shape := shapes.get(f"encoder.{key}", ())) == 3]
    if count := sum(shape[1] for shape in tokens):
        told["class_tokens"] = count
    hidden = shapes.get("encoder.blocks.0.mlp.fc1.weight", ())
    if len(hidden) == 2 and hidden[1]:
        told["mlp_ratio"] = mlp_ratio_of(hidden[0], hidden[1])
    changes: dict[str, Any] = told
    return replace(known, **changes)


def _depth(shapes: Mapping[str, tuple[int, ...]], part: str) -> int:
    """Count the blocks of a part."""
    return len({key.split(".")[2] for key in shapes if key.startswith(f"{part}.blocks.")})
