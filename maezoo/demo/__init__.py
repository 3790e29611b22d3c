"""The page behind `maezoo demo`: hide patches of a photo and see what the model makes of it.

`served` runs it on this machine; it needs the extra `demo`. `Studio` does the work without any page.
"""

from typing import TYPE_CHECKING

from maezoo._lazy import lazy_names

if TYPE_CHECKING:
    from maezoo.demo.serve import served
    from maezoo.demo.studio import Request, Studio, View

__all__ = ["Request", "Studio", "View", "served"]

_HOMES = {
    "Request": "maezoo.demo.studio",
    "Studio": "maezoo.demo.studio",
    "View": "maezoo.demo.studio",
    "served": "maezoo.demo.serve",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
