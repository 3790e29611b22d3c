"""Pictures of what a model sees: reconstructions, mask-ratio sweeps, attention, similarity, principal components.

    from maezoo import figures
    figures.plot_reconstruction(model.reconstruct(photos), captions=names).savefig("grid.png")

The functions that measure (`measure_sweep`, `class_attention`, `patch_similarity`, `patch_components`) need torch alone
and return tensors; the `plot_…` functions need the extra `figures` and return a matplotlib Figure, which belongs to no
window and no global state.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
