"""Registration with timm once timm is imported, so that `import maezoo` and `maezoo --help` stay fast.

timm takes seconds to import, and many commands do not need it. If timm is imported already, our models are
registered at once; and a finder on `sys.meta_path` waits for `import timm`, lets it happen, and then registers: also
when timm is taken out of `sys.modules` and imported again, with an empty registry.
"""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

__all__ = ["register_when_timm_is_imported"]


def register_when_timm_is_imported() -> None:
    """Register our models with timm now, or right after timm's import."""
    if not any(isinstance(finder, _TimmFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _TimmFinder())
    if "timm" in sys.modules and not _is_initialising(sys.modules["timm"]):
        _register()


def _register() -> None:
    from maezoo.timm_bridge.registry import register

    register()


def _is_initialising(module: ModuleType) -> bool:
    return bool(getattr(module.__spec__, "_initializing", False))


class _TimmFinder(importlib.abc.MetaPathFinder):
    """Finds timm as everyone would, and has our registration follow its import."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "timm":
            return None
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            spec: importlib.machinery.ModuleSpec | None = (
                find(fullname, path, target) if find is not None and finder is not self else None
            )
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _RegisteringLoader(spec.loader)
                return spec
        return None


class _RegisteringLoader(importlib.abc.Loader):
    """A loader that runs the real one, then registers our models."""

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        """Answer what else is asked of a loader, such as `get_data`, before timm is imported."""
        return getattr(self._loader, name)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:  # timm and its tools see the loader that they would have had
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        _register()
