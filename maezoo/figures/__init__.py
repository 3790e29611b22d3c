"""Pictures of what a model sees: reconstructions, mask-ratio sweeps, attention, similarity, principal components.

    from maezoo import figures
    figures.plot_reconstruction(model.reconstruct(photos), captions=names).savefig("grid.png")

The functions that measure (`measure_sweep`, `class_attention`, `patch_similarity`, `patch_components`) need torch alone
and return tensors; the `plot_…` functions need the extra `figures` and return a matplotlib Figure, which belongs to no
window and no global state.
"""

from typing import TYPE_CHECKING

from maezoo._lazy import lazy_names

if TYPE_CHECKING:
    from maezoo.figures.attention import class_attention, plot_attention
    from maezoo.figures.components import patch_components, plot_components
    from maezoo.figures.grids import plot_reconstruction, plot_whole
    from maezoo.figures.similarity import patch_similarity, plot_similarity
    from maezoo.figures.sweep import MaskRatioSweep, measure_sweep, plot_sweep

__all__ = [
    "MaskRatioSweep",
    "class_attention",
    "measure_sweep",
    "patch_components",
    "patch_similarity",
    "plot_attention",
    "plot_components",
    "plot_reconstruction",
    "plot_similarity",
    "plot_sweep",
    "plot_whole",
]

_HOMES = {
    "MaskRatioSweep": "maezoo.figures.sweep",
    "class_attention": "maezoo.figures.attention",
    "measure_sweep": "maezoo.figures.sweep",
    "patch_components": "maezoo.figures.components",
    "patch_similarity": "maezoo.figures.similarity",
    "plot_attention": "maezoo.figures.attention",
    "plot_components": "maezoo.figures.components",
    "plot_reconstruction": "maezoo.figures.grids",
    "plot_similarity": "maezoo.figures.similarity",
    "plot_sweep": "maezoo.figures.sweep",
    "plot_whole": "maezoo.figures.grids",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
