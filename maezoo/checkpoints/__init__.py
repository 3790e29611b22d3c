"""Files and the network: manifest, hub, layouts, loading and saving. No forward pass."""

from typing import TYPE_CHECKING

from maezoo._lazy import lazy_names

if TYPE_CHECKING:
    from maezoo.checkpoints.load import LoadReport, load_file_into
    from maezoo.checkpoints.metadata import WeightsMetadata
    from maezoo.checkpoints.save import save_model
    from maezoo.manifest.entries import Manifest, WeightsEntry, load_manifest, read_manifest

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
    "LoadReport": "maezoo.checkpoints.load",
    "Manifest": "maezoo.manifest.entries",
    "WeightsEntry": "maezoo.manifest.entries",
    "WeightsMetadata": "maezoo.checkpoints.metadata",
    "load_file_into": "maezoo.checkpoints.load",
    "load_manifest": "maezoo.manifest.entries",
    "read_manifest": "maezoo.manifest.entries",
    "save_model": "maezoo.checkpoints.save",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
