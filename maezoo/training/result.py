"""The file of a finished run: half precision on disk, with all that is needed to use it and to know how it was made."""

import json
from pathlib import Path

import torch

from maezoo.checkpoints.metadata import WEIGHTS, WeightsMetadata
from maezoo.checkpoints.save import save_model
from maezoo.checkpoints.sharing import shared_tensors, write_folder
from maezoo.errors import DivergedError
from maezoo.images.preprocessing import Preprocessing
from maezoo.model import MaskedAutoencoder, find_variant
from maezoo.training.checkpoint import not_finite
from maezoo.training.data import ImageSource
from maezoo.training.recipe import Recipe

__all__ = ["write_result"]


def write_result(
    model: MaskedAutoencoder, recipe: Recipe, source: ImageSource, path: Path, *, license: str = "unknown"
) -> Path:
    """Write a trained model: in half precision, or in float32 where a weight is too large for that.

    Args:
        model: as `pretrain` returned it.
        recipe: of the run; it goes into the file.
        source: the images; their description goes into the file.
        path: a `.safetensors` file to make or replace; or a folder, which `create` and timm load.
        license: of the weights.

    Returns:
        The weights file.

    Raises:
        DivergedError: a weight is NaN or infinite; a file that is there stays.
    """
    wrong = not_finite(model.state_dict())
    if wrong:
        raise DivergedError(f"{wrong} is NaN or infinite; {path} is not written, and what was there stays.")
    half = {name: value.half() for name, value in model.state_dict().items()}
    fits = not_finite(half) is None
    variant = find_variant(recipe.model)
    metadata = WeightsMetadata(
        variant=variant,
        target=recipe.target,
        preprocess=Preprocessing(size=(variant.img_size, variant.img_size), window=getattr(source, "window", "full")),
        parts=("encoder", "decoder"),
        license=license,
        origin=f"maezoo pretrain on {source.describe()}: {json.dumps(recipe.to_dict(), sort_keys=True)}",
    )
    if path.suffix == ".safetensors":
        save_model(model, path, metadata=metadata, dtype=torch.float16 if fits else torch.float32)
        return path
    write_folder(path, shared_tensors(half if fits else model.state_dict()), metadata)
    return path / WEIGHTS
