"""Files and the network: manifest, hub, layouts, loading and saving. No forward pass."""

from typing import TYPE_CHECKING

from maezoo._lazy import lazy_names

if TYPE_CHECKING:
    from maezoo.weights.load import LoadReport, load_file_into
    from maezoo.weights.manifest import Manifest, WeightsEntry, load_manifest, read_manifest
    from maezoo.weights.metadata import WeightsMetadata
    from maezoo.weights.save import save_model

__all__ = [
    "LoadReport",
    "Manifest",
    "WeightsEntry",
    "WeightsMetadata",
    "load_file_into",
    "load_manifest",
    "read_manifest",
    "save_model",
]

_HOMES = {
    "LoadReport": "maezoo.weights.load",
    "Manifest": "maezoo.weights.manifest",
    "WeightsEntry": "maezoo.weights.manifest",
    "WeightsMetadata": "maezoo.weights.metadata",
    "load_file_into": "maezoo.weights.load",
    "load_manifest": "maezoo.weights.manifest",
    "read_manifest": "maezoo.weights.manifest",
    "save_model": "maezoo.weights.save",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
