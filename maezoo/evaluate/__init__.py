"""How good features and reconstructions are: nearest neighbours, linear probe, and fillers that a decoder must beat."""

from typing import TYPE_CHECKING

from maezoo._lazy import lazy_names

if TYPE_CHECKING:
    from maezoo.evaluate.features import LabelledFeatures, read_features
    from maezoo.evaluate.fillers import harmonic_fill, hidden_error, mean_fill, nearest_fill
    from maezoo.evaluate.probes import knn, linear
    from maezoo.evaluate.score import Score

__all__ = [
    "LabelledFeatures",
    "Score",
    "harmonic_fill",
    "hidden_error",
    "knn",
    "linear",
    "mean_fill",
    "nearest_fill",
    "read_features",
]

_HOMES = {
    "LabelledFeatures": "maezoo.evaluate.features",
    "Score": "maezoo.evaluate.score",
    "harmonic_fill": "maezoo.evaluate.fillers",
    "hidden_error": "maezoo.evaluate.fillers",
    "knn": "maezoo.evaluate.probes",
    "linear": "maezoo.evaluate.probes",
    "mean_fill": "maezoo.evaluate.fillers",
    "nearest_fill": "maezoo.evaluate.fillers",
    "read_features": "maezoo.evaluate.features",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
