"""The closed lists of words that arguments and files use. No torch here: the command line reads it before any model."""

from typing import Literal, get_args

__all__ = ["LAYOUTS", "PARTS", "POOLS", "STRATEGIES", "TARGETS", "Layout", "Part", "Pool", "Strategy", "Target"]

Target = Literal["pixel", "normpix"]
Part = Literal["encoder", "decoder"]
Layout = Literal["maezoo", "fair", "timm", "transformers"]
Strategy = Literal["random", "block", "grid"]
Pool = Literal["cls", "mean", "cls+mean"]

TARGETS: tuple[str, ...] = get_args(Target)
PARTS: tuple[str, ...] = get_args(Part)
LAYOUTS: tuple[str, ...] = get_args(Layout)
STRATEGIES: tuple[str, ...] = get_args(Strategy)
POOLS: tuple[str, ...] = get_args(Pool)


def __dir__() -> list[str]:
    """List the public names alone."""
    return __all__
