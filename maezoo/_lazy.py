"""Public names that are loaded from their modules when they are first used, so that a package imports in no time."""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["lazy_names"]


def lazy_names(
    package: str, homes: Mapping[str, str], modules: Sequence[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and `__dir__` of a package whose public names live in its modules (PEP 562).

    Args:
        package: the package's `__name__`.
        homes: the module of each public name.
        modules: modules and packages below it that are names themselves.

    Example:
        >>> getattr_, dir_ = lazy_names("maezoo", {"MaskError": "maezoo.errors"}, ["masks"])
        >>> getattr_("MaskError").__name__, getattr_("masks").__name__
        ('MaskError', 'maezoo.masks.draw')
    """

    def load(name: str) -> Any:
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes, *modules})

    return load, names
