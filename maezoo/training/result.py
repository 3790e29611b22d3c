"""The file that a finished run leaves: half precision on disk, with all that it takes to use and to judge it."""

import json
from pathlib import Path

import torch

from maezoo.model import MaskedAutoencoder, find_variant
from maezoo.preprocessing import Preprocessing
from maezoo.training.data import ImageSource
from maezoo.training.recipe import Recipe
from maezoo.weights import WeightsMetadata, save_model

__all__ = ["write_result"]


def write_result(
    model: MaskedAutoencoder, recipe: Recipe, source: ImageSource, path: Path, *, license: str = "unknown"
) -> Path:
    """Write a trained model as a maezoo file.

    Args:
        model: as `pretrain` returned it.
        recipe: of the run; it goes into the file.
        source: the images; their description goes into the file.
        path: the file to make or replace.
        license: of the weights.

    Returns:
        The path.
    """
    variant = find_variant(recipe.model)
    metadata = WeightsMetadata(
        variant=variant,
        target=recipe.target,
        preprocess=Preprocessing(size=(variant.img_size, variant.img_size)),
        parts=("encoder", "decoder"),
        license=license,
        origin=f"maezoo pretrain on {source.describe()}: {json.dumps(recipe.to_dict(), sort_keys=True)}",
    )
    save_model(model, path, metadata=metadata, dtype=torch.float16)
    return path
