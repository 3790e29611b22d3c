"""Numbers and words from outside, checked before anything is built from them."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from maezoo.errors import ArgumentError
from maezoo.images.preprocessing import MOST_CHANNELS, Preprocessing
from maezoo.model.facts import PAPER, Facts
from maezoo.model.variants import Variant, numbers_of
from maezoo.vocabulary import POOLS, POSITIONS, RESAMPLINGS

__all__ = [
    "LARGEST_SIDE",
    "MOST_PATCHES",
    "NORM_EPSILON",
    "bounded_facts",
    "bounded_preprocessing",
    "bounded_variant",
    "check_shapes",
    "norm_epsilon",
    "plain_text",
    "whole_number",
]

NORM_EPSILON = PAPER.norm_epsilon  # of the training code and of timm

LARGEST_SIDE = 16_384  # pixels

_BOUNDS = {
    "img_size": (1, LARGEST_SIDE),
    "patch_size": (1, 1_024),
    "embed_dim": (1, 65_536),
    "depth": (1, 1_024),
    "num_heads": (1, 1_024),
    "decoder_dim": (0, 65_536),
    "decoder_depth": (0, 1_024),
    "decoder_heads": (0, 1_024),
}
MOST_PATCHES = 2**18
_MOST_CLASS_TOKENS = 1_024
_WIDEST_MLP = 64
_LEAST_CROP = 0.1  # of a side: a smaller share would have images blown up before the crop
_LONGEST = 10_000  # characters of a name, a licence or an origin


def whole_number(value: Any, name: str, low: int, high: int) -> int:
    """Return a whole number between two bounds.

    Raises:
        ArgumentError: it is something else; JSON's `true` and `12.0` are no whole numbers.

    Example:
        >>> whole_number(12, "depth", 1, 1024)
        12
    """
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        message = f"{name} is {_shown(value)}; it should be a whole number from {low} to {high}"
        raise ArgumentError(message, expected=(low, high), found=value)
    return value


def plain_text(value: Any, name: str) -> str:
    """Return a text of one line.

    Raises:
        ArgumentError: it is no text, or too long for what it is.

    Example:
        >>> plain_text("mit", "license")
        'mit'
    """
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise ArgumentError(f"{name} is {_shown(value)}; it should be a text of at most {_LONGEST} characters")
    return " ".join(value.split())


def norm_epsilon(value: Any) -> float:
    """Return what norms add to a variance.

    Raises:
        ArgumentError: it is no small positive number.

    Example:
        >>> norm_epsilon(1e-12)
        1e-12
    """
    if not isinstance(value, float) or not 0 < value < 1:
        raise ArgumentError(f"the norms' epsilon is {_shown(value)}; it should be a small positive number")
    return value


def bounded_variant(numbers: Mapping[str, Any]) -> Variant:
    """Return an architecture whose numbers could be those of a model.

    Raises:
        ArgumentError: one is missing, unknown, no whole number or out of bounds, or heads do not divide a width.
    """
    names = {field.name for field in fields(Variant)}
    if numbers.keys() != names:
        raise ArgumentError(
            f"an architecture has {', '.join(sorted(names))}; got {', '.join(sorted(map(str, numbers)))}"
        )
    checked = {field: whole_number(numbers[field], field, *bounds) for field, bounds in _BOUNDS.items()}
    variant = Variant(name=plain_text(numbers["name"], "name"), **checked)
    has_decoder = bool(variant.decoder_dim)
    if has_decoder != bool(variant.decoder_depth) or has_decoder != bool(variant.decoder_heads):
        raise ArgumentError("decoder_dim, decoder_depth and decoder_heads are all positive, or all 0 for no decoder")
    for width, heads in (("embed_dim", "num_heads"), ("decoder_dim", "decoder_heads")):
        if checked[heads] and checked[width] % checked[heads]:
            raise ArgumentError(f"{width} is {checked[width]}; it should be a multiple of {heads}, {checked[heads]}")
    return variant


def bounded_facts(data: Mapping[str, Any], known: Facts = PAPER) -> Facts:
    """Return facts of weights that could be those of a model.

    Args:
        data: plain data, as `Facts.to_dict` gives it; what it lacks is taken from `known`.
        known: what holds where nothing is said.

    Raises:
        ArgumentError: one is unknown, of another kind or out of bounds.

    Example:
        >>> bounded_facts({"in_chans": 13, "pooling": "mean"}).in_chans
        13
    """
    unknown = sorted(set(map(str, data)) - {field.name for field in fields(Facts)})
    if unknown:
        raise ArgumentError(f"{_shown(unknown[0])} is no fact of weights; these are: {', '.join(known.to_dict())}")
    facts = replace(known, **data)
    whole_number(facts.in_chans, "in_chans", 1, MOST_CHANNELS)
    whole_number(facts.class_tokens, "class_tokens", 1, _MOST_CLASS_TOKENS)
    for field, words in (("positions", POSITIONS), ("resampling", RESAMPLINGS), ("pooling", POOLS)):
        if getattr(facts, field) not in words:
            raise ArgumentError.for_choice(field, getattr(facts, field), words)
    ratio: Any = facts.mlp_ratio
    if not isinstance(ratio, int | float) or isinstance(ratio, bool) or not 0 < ratio <= _WIDEST_MLP:
        raise ArgumentError(f"mlp_ratio is {_shown(ratio)}; it should be a number above 0, at most {_WIDEST_MLP}")
    return replace(facts, norm_epsilon=norm_epsilon(facts.norm_epsilon), mlp_ratio=float(ratio))


def bounded_preprocessing(
    preprocess: Preprocessing, patch_size: int | None = None, in_chans: int | None = None
) -> Preprocessing:
    """Return preprocessing that a model could have.

    Args:
        preprocess: as read.
        patch_size: patch side P of its model, where known.
        in_chans: channels C of its model, where known.

    Raises:
        ArgumentError: the size is out of bounds or no whole number of patches, the crop keeps next to nothing, or mean
            and deviation are of another number of channels.
    """
    for side in preprocess.size:
        whole_number(side, "preprocess.size", *_BOUNDS["img_size"])
        if patch_size and side % patch_size:
            raise ArgumentError(f"preprocess.size is {preprocess.size}, no whole number of {patch_size}-pixel patches")
    if patch_size and preprocess.size[0] * preprocess.size[1] > MOST_PATCHES * patch_size**2:
        raise ArgumentError(f"preprocess.size is {preprocess.size}, which is more than {MOST_PATCHES} patches")
    if preprocess.crop_pct < _LEAST_CROP:
        raise ArgumentError(f"preprocess.crop_pct is {preprocess.crop_pct}; it should be at least {_LEAST_CROP}")
    if in_chans is not None and len(preprocess.mean) not in (1, 3, in_chans):
        raise ArgumentError(f"preprocess.mean has {len(preprocess.mean)} numbers for {in_chans} channels")
    return preprocess


def check_shapes(variant: Variant, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Compare an architecture with the shapes of a file's tensors.

    Args:
        variant: what the file, or what is known of it, says that it is.
        shapes: by our keys.

    Raises:
        ArgumentError: they are not of this architecture.
    """
    filters = shapes.get("encoder.patch_embed.proj.weight", ())
    if len(filters) != 4 or filters[2] != filters[3] or not 1 <= filters[1] <= MOST_CHANNELS:
        raise ArgumentError(
            f"its patch embedding has the shape {filters}; it should be (D, C, P, P), C at most {MOST_CHANNELS}",
            found=filters,
        )
    for field, found in numbers_of(shapes).items():
        expected = getattr(variant, field)
        if expected != found:
            message = f"{variant.name} should have {field} {expected}, but the tensors have {found}"
            raise ArgumentError(message, expected=expected, found=found)


def _shown(value: Any) -> str:
    """Show a value, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
