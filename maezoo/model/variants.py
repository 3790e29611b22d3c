"""The sizes, numbers only. No torch here: the command line and timm's registry read them before any model."""

from dataclasses import dataclass

from maezoo.errors import UnknownModelError

__all__ = ["VARIANTS", "Variant", "find_variant"]


@dataclass(frozen=True)
class Variant:
    """One architecture: the numbers of its encoder and of its decoder.

    The three published sizes are those of He et al. 2021 (https://arxiv.org/abs/2111.06377, appendix A);
    `mae_vit_tiny` is ours, small enough to be part of the package.
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


VARIANTS = {
    variant.name: variant
    for variant in (
        #        name             img  P   D     depth heads  decoder: D  depth heads
        Variant("mae_vit_tiny",   96,  8,  192,  6,    3,              192, 3,  3),
        Variant("mae_vit_base",   224, 16, 768,  12,   12,             512, 8,  16),
        Variant("mae_vit_large",  224, 16, 1024, 24,   16,             512, 8,  16),
        Variant("mae_vit_huge",   224, 14, 1280, 32,   16,             512, 8,  16),
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
