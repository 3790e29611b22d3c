"""Checks of what callers pass as numbers, lists and words, each with one wording of what is allowed."""

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from numbers import Real
from typing import Any

from maezoo.errors import ArgumentError, MaezooError

__all__ = ["as_whole", "check_kinds", "is_number", "is_whole", "listed", "members", "whole_number"]

_LARGEST = 2**63 - 1  # what 64 bits hold


def as_whole(found: object) -> int | None:
    """Return a whole number as a Python int, those of NumPy and torch too; `None` for anything else, `True` included.

    Example:
        >>> as_whole(3), as_whole(3.0), as_whole(True)
        (3, None, None)
    """
    if isinstance(found, bool):
        return None
    try:
        return operator.index(found)  # type: ignore[arg-type]  # what has no __index__ raises
    except TypeError:
        return None


def is_whole(found: object, least: int = 1, most: int = _LARGEST) -> bool:
    """Say whether something is a whole number between two bounds."""
    number = as_whole(found)
    return number is not None and least <= number <= most


def is_number(found: object, least: float = float("-inf"), most: float = float("inf")) -> bool:
    """Say whether something is a finite real number between two bounds, and no truth value.

    Example:
        >>> is_number(0.5, 0, 1), is_number(float("nan")), is_number("1")
        (True, False, False)
    """
    if isinstance(found, bool) or not isinstance(found, Real):
        return False
    number = float(found)
    return math.isfinite(number) and least <= number <= most


def whole_number(
    found: object,
    name: str,
    least: int = 1,
    most: int = _LARGEST,
    *,
    what: str = "a whole number",
    error: type[MaezooError] = ArgumentError,
) -> int:
    """Return a whole number between two bounds as a Python int.

    Args:
        found: what was passed.
        name: of the argument.
        least: smallest number that is allowed.
        most: largest number that is allowed.
        what: what the number is.
        error: class of the error.

    Raises:
        MaezooError: it is something else, of the class `error`.

    Example:
        >>> whole_number(12, "depth", 1, 1024)
        12
    """
    number = as_whole(found)
    if number is None or not least <= number <= most:
        bounds = f"at least {least}" if most == _LARGEST else f"from {least} to {most:,}"
        raise error(f"{name} is {what}, {bounds}; got {_shown(found)}.", expected=(least, most), found=found)
    return number


def listed(found: object, name: str, what: str, *, error: type[MaezooError] = ArgumentError) -> list[Any]:
    """Return the members of a list, tuple, array or other iterable; a text is not one.

    Args:
        found: what was passed.
        name: of the argument.
        what: what is in the list, with an example.
        error: class of the error.

    Raises:
        MaezooError: it has no members, of the class `error`.

    Example:
        >>> listed((1, 2), "layers", "block indices such as [-1]")
        [1, 2]
    """
    several = members(found)
    if not several:
        raise error(f"{name} is a list of {what}, at least one; got {_shown(found)}.", found=found)
    return several


def members(found: object) -> list[Any]:
    """Return the members of a list or other iterable; none for a text, and for what has no members.

    Example:
        >>> members((1, 2)), members("ab"), members(3)
        ([1, 2], [], [])
    """
    if isinstance(found, str | bytes) or not isinstance(found, Iterable):
        return []
    try:
        return list(found)
    except TypeError:  # a tensor without axes
        return []


def check_kinds(settings: Any) -> None:
    """Refuse attributes of a dataclass whose value is no number, or no pair of them, where its annotation asks for one.

    Whole numbers of NumPy and torch become Python's, so that the settings can be written as JSON.

    Raises:
        ArgumentError: the message has the attribute, and what it takes.
    """
    for field in fields(settings):
        found = getattr(settings, field.name)
        if field.type not in _KINDS or (found is None and field.type in _OPTIONAL):
            continue
        what, fits = _KINDS[field.type]
        if not fits(found):
            raise ArgumentError(f"{field.name} is {what}; got {_shown(found)}.", found=found)
        if isinstance(found, Real) and not isinstance(found, int | float):
            object.__setattr__(settings, field.name, as_whole(found) if is_whole(found, -_LARGEST) else float(found))


def _is_real(found: object) -> bool:
    return isinstance(found, Real) and not isinstance(found, bool)


def _is_row(found: object) -> bool:
    return isinstance(found, tuple | list) and all(map(_is_real, found))


_OPTIONAL = (int | None, float | None, tuple[int, int] | None, tuple[float, ...] | None)
_WHOLE: Any = ("a whole number", lambda found: is_whole(found, -_LARGEST))
_REAL: Any = ("a number", _is_real)
_PAIR: Any = ("two numbers", lambda found: _is_row(found) and len(found) == 2)
_KINDS: Mapping[Any, tuple[str, Callable[[Any], bool]]] = {
    int: _WHOLE,
    int | None: _WHOLE,
    float: _REAL,
    float | None: _REAL,
    tuple[float, float]: _PAIR,
    tuple[int, int] | None: _PAIR,
    tuple[float, ...] | None: ("a tuple of numbers, one for each channel", _is_row),
}


def _shown(found: object) -> str:
    """Show a value, cut where it is long."""
    text = repr(found)
    return text if len(text) <= 60 else f"{text[:60]}…"
