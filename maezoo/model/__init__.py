"""Pure tensors: encoder, decoder, autoencoder, patches and positions. No files, no images, no hub."""

from typing import TYPE_CHECKING

from maezoo._lazy import lazy_names

if TYPE_CHECKING:
    from maezoo.model.autoencoder import MAEOutput, MaskedAutoencoder
    from maezoo.model.build import build_decoder, build_encoder, build_mae, parameter_count
    from maezoo.model.decoder import Decoder
    from maezoo.model.init import initialise
    from maezoo.model.patches import (
        PatchStatistics,
        denormalise_patches,
        grid_of,
        normalise_patches,
        patch_statistics,
        patchify,
        unpatchify,
    )
    from maezoo.model.positions import resize_positions, sincos_positions
    from maezoo.model.variants import VARIANTS, Variant, find_variant

__all__ = [
    "VARIANTS",
    "Decoder",
    "MAEOutput",
    "MaskedAutoencoder",
    "PatchStatistics",
    "Variant",
    "build_decoder",
    "build_encoder",
    "build_mae",
    "denormalise_patches",
    "find_variant",
    "grid_of",
    "initialise",
    "normalise_patches",
    "parameter_count",
    "patch_statistics",
    "patchify",
    "resize_positions",
    "sincos_positions",
    "unpatchify",
]

_HOMES = {
    "Decoder": "maezoo.model.decoder",
    "MAEOutput": "maezoo.model.autoencoder",
    "MaskedAutoencoder": "maezoo.model.autoencoder",
    "PatchStatistics": "maezoo.model.patches",
    "VARIANTS": "maezoo.model.variants",
    "Variant": "maezoo.model.variants",
    "build_decoder": "maezoo.model.build",
    "build_encoder": "maezoo.model.build",
    "build_mae": "maezoo.model.build",
    "denormalise_patches": "maezoo.model.patches",
    "find_variant": "maezoo.model.variants",
    "grid_of": "maezoo.model.patches",
    "initialise": "maezoo.model.init",
    "normalise_patches": "maezoo.model.patches",
    "parameter_count": "maezoo.model.build",
    "patch_statistics": "maezoo.model.patches",
    "patchify": "maezoo.model.patches",
    "resize_positions": "maezoo.model.positions",
    "sincos_positions": "maezoo.model.positions",
    "unpatchify": "maezoo.model.patches",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
