"""Pillow's settings belong to a process; here they are read in one and applied in others."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

__all__ = ["PillowState"]

_SETTINGS = (
    "Image.MAX_IMAGE_PIXELS",
    "ImageFile.LOAD_TRUNCATED_IMAGES",
    "ImageFile.MAXBLOCK",
    "ImageFile.SAFEBLOCK",
    "PngImagePlugin.MAX_TEXT_CHUNK",
    "PngImagePlugin.MAX_TEXT_MEMORY",
    "GifImagePlugin.LOADING_STRATEGY",
    "TiffImagePlugin.READ_LIBTIFF",
    "AvifImagePlugin.DECODE_CODEC_CHOICE",
)


@dataclass(frozen=True)
class PillowState:
    """All that decides, apart from a file's bytes, how Pillow decodes it.

    Attributes:
        settings: the modules' variables, such as `Image.MAX_IMAGE_PIXELS`.
        formats: names of the formats, in the order in which they are tried.
        openers: of each format, plug-ins included.
        decoders: written in Python, which plug-ins may add.
    """

    settings: Mapping[str, Any]
    formats: tuple[str, ...]
    openers: Mapping[str, Any]
    decoders: Mapping[str, Any]

    @classmethod
    def of_this_process(cls) -> "PillowState":
        """Read the state of this process."""
        Image.init()
        settings = {name: getattr(_module(name), _variable(name)) for name in _SETTINGS if _has(name)}
        return cls(settings, tuple(Image.ID), dict(Image.OPEN), dict(Image.DECODERS))

    def modules(self) -> set[str]:
        """Return the names of the modules that open and decode."""
        parts = [part for pair in self.openers.values() for part in pair] + list(self.decoders.values())
        return {getattr(part, "__module__", "") for part in parts}

    def apply(self) -> None:
        """Set the same in this process."""
        Image.init()  # else Pillow would add its own formats later, after those of plug-ins
        for name, value in self.settings.items():
            setattr(_module(name), _variable(name), value)
        Image.ID[:] = self.formats
        for here, theirs in ((Image.OPEN, self.openers), (Image.DECODERS, self.decoders)):
            here.clear()
            here.update(theirs)


def _module(name: str) -> Any:
    return importlib.import_module(f"PIL.{name.partition('.')[0]}")


def _variable(name: str) -> str:
    return name.partition(".")[2]


def _has(name: str) -> bool:
    """Whether this version of Pillow has a setting."""
    try:
        return hasattr(_module(name), _variable(name))
    except ImportError:
        return False
