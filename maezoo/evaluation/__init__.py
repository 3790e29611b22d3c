"""How good features and reconstructions are: nearest neighbours, linear probe, and fillers that a decoder must beat."""

from typing import TYPE_CHECKING

from maezoo._lazy import lazy_names

if TYPE_CHECKING:
    from maezoo.evaluation.features import LabelledFeatures, read_features
    from maezoo.evaluation.fillers import harmonic_fill, hidden_error, mean_fill, nearest_fill
    from maezoo.evaluation.probes import knn, linear
    from maezoo.evaluation.score import Score

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
    "LabelledFeatures": "maezoo.evaluation.features",
    "Score": "maezoo.evaluation.score",
    "harmonic_fill": "maezoo.evaluation.fillers",
    "hidden_error": "maezoo.evaluation.fillers",
    "knn": "maezoo.evaluation.probes",
    "linear": "maezoo.evaluation.probes",
    "mean_fill": "maezoo.evaluation.fillers",
    "nearest_fill": "maezoo.evaluation.fillers",
    "read_features": "maezoo.evaluation.features",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
