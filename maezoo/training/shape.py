"""What a run trains: the numbers of a model that its recipe, its starting weights and the architectures' table give."""

from dataclasses import dataclass, replace
from typing import Any

from maezoo.api.source import WeightsSource
from maezoo.checkpoints.bounds import bounded_preprocessing, bounded_variant
from maezoo.checkpoints.load import norm_epsilon_of
from maezoo.errors import ArgumentError, LayoutError
from maezoo.images.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from maezoo.model import MaskedAutoencoder, Variant, build_mae, find_variant
from maezoo.model.facts import Facts
from maezoo.model.patches import grid_of
from maezoo.model.variants import VARIANTS, named_variant
from maezoo.training.recipe import Recipe
from maezoo.vocabulary import Target

__all__ = ["Shape", "find_shape"]

_DEFAULT = "mae_vit_tiny"
_ENCODER = ("embed_dim", "depth", "num_heads")
_DECODER = ("decoder_dim", "decoder_depth", "decoder_heads")


@dataclass(frozen=True)
class Shape:
    """What a run trains, every number known.

    Attributes:
        variant: the architecture.
        facts: what starting weights ask of the model.
        target: what the decoder predicts.
        preprocess: how the model's images are prepared, once it is trained; its size is that of the crops.
    """

    variant: Variant
    facts: Facts
    target: Target
    preprocess: Preprocessing

    def build(self) -> MaskedAutoencoder:
        """Build the model with its first weights, drawn from PyTorch's own generator."""
        return build_mae(self.variant, facts=self.facts, img_size=self.preprocess.size, target=self.target)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, by the names of the recipe's fields."""
        variant = self.variant
        return {
            "model": variant.name,
            "img_size": list(self.preprocess.size),
            "in_chans": self.facts.in_chans,
            "patch_size": variant.patch_size,
            **{name: getattr(variant, name) for name in _DECODER},
            "target": self.target,
            "mean": list(self.preprocess.mean),
            "std": list(self.preprocess.std),
        }


def find_shape(recipe: Recipe, start: WeightsSource | None = None, variant: Variant | None = None) -> Shape:
    """Return what a recipe trains.

    Args:
        recipe: what it leaves open is as the starting weights have it, else as the architecture has it.
        start: weights that the run starts from.
        variant: the architecture, in place of the recipe's.

    Raises:
        UnknownModelError: no such architecture.
        LayoutError: the starting weights are of another architecture than the recipe's.
        ArgumentError: numbers that no model could have, or no mean and deviation for the channels.
        SizeError: the image size is not a whole number of patches.

    Example:
        >>> shape = find_shape(Recipe(model="mae_vit_small", img_size=(128, 64), decoder_depth=2))
        >>> shape.variant.name, shape.build().grid_size
        ('mae_vit_384x12', (8, 4))
    """
    named = variant or (find_variant(recipe.model or _DEFAULT) if recipe.model or start is None else None)
    known = _variant(recipe, named, start)
    facts = known.facts if start is None else _facts_of(start)
    facts = replace(facts, in_chans=facts.in_chans if recipe.in_chans is None else recipe.in_chans)
    size = recipe.img_size or (start.preprocess.size if start else (known.img_size, known.img_size))
    grid_of(size, known.patch_size)
    target: Target = recipe.target or (start.target if start and start.has_decoder else None) or "pixel"
    usual = start.preprocess if start else Preprocessing(size=size)
    mean, std = _statistics(recipe, facts.in_chans, start)
    bands = usual.bands if usual.bands and len(usual.bands) == len(mean) else None
    preprocess = replace(usual, size=size, mean=mean, std=std, bands=bands)
    return Shape(known, facts, target, bounded_preprocessing(preprocess, known.patch_size, facts.in_chans))


def _variant(recipe: Recipe, named: Variant | None, start: WeightsSource | None) -> Variant:
    """Return the architecture, with the recipe's numbers."""
    base = named or VARIANTS[_DEFAULT]
    if start is not None:
        if named is not None and any(getattr(named, each) != getattr(start.variant, each) for each in _ENCODER):
            theirs, ours = (_numbers_in_words(each) for each in (start.variant, named))
            raise LayoutError(
                f"{start.name} is an encoder with {theirs}; {named.name} has {ours}. Leave the model out, or name "
                f"{start.variant.name!r}.",
                expected=named.name,
                found=start.variant.name,
                suggestions=[start.variant.name],
            )
        like = named or find_variant("mae_vit_base")  # its decoder is that of every published size
        base = start.variant if start.has_decoder else replace(start.variant, **{n: getattr(like, n) for n in _DECODER})
    fields = ("patch_size", *_DECODER)
    changes: dict[str, Any] = {name: getattr(recipe, name) for name in fields if getattr(recipe, name) is not None}
    if all(getattr(base, name) == value for name, value in changes.items()):
        return base
    changed = replace(base, **changes)
    numbers = {name: getattr(changed, name) for name in (*_ENCODER, *fields)}
    tokens = (start.facts if start else base.facts).class_tokens
    return bounded_variant(vars(named_variant(base.img_size, numbers, tokens)))


def _facts_of(start: WeightsSource) -> Facts:
    """Return what starting weights ask of the model, as loading them would find it."""
    epsilon = start.norm_epsilon
    if epsilon is None and start.file is not None:
        epsilon = norm_epsilon_of(start.file, start.layout or start.file.layout)
    return start.facts if epsilon is None else replace(start.facts, norm_epsilon=epsilon)


def _statistics(
    recipe: Recipe, channels: int, start: WeightsSource | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and the standard deviation of each channel, of pixels in [0, 1]."""
    known = (start.preprocess.mean, start.preprocess.std) if start else (IMAGENET_MEAN, IMAGENET_STD)
    mean, std = recipe.mean or known[0], recipe.std or known[1]
    if channels == 1 and recipe.mean is None and recipe.std is None:  # grey: as everywhere in maezoo, their average
        mean, std = ((round(sum(values) / len(values), 6),) for values in (mean, std))
    if len(mean) != channels or len(std) != channels:
        raise ArgumentError(
            f"a model of {channels} channels needs the mean and the standard deviation of each, of pixels in [0, 1]: "
            f"pass mean and std with {channels} numbers (--mean 0.5,0.5,… --std 0.25,0.25,…). Got {len(mean)} and "
            f"{len(std)}.",
            expected=channels,
            found=(len(mean), len(std)),
        )
    return mean, std


def _numbers_in_words(variant: Variant) -> str:
    return f"width {variant.embed_dim}, {variant.depth} blocks and {variant.num_heads} heads"
