"""The file of a finished run: half precision on disk, with all that is needed to use it and to know how it was made."""

import json
from pathlib import Path

import torch

from maezoo.api.mae import MAE
from maezoo.checkpoints.folders import WEIGHTS, describe_model
from maezoo.checkpoints.save import save_model
from maezoo.checkpoints.sharing import shared_tensors, write_folder
from maezoo.errors import DivergedError
from maezoo.training.checkpoint import not_finite
from maezoo.training.recipe import Recipe
from maezoo.training.sources.source import ImageSource

__all__ = ["write_result"]


def write_result(model: MAE, recipe: Recipe, source: ImageSource, path: Path, *, license: str = "unknown") -> Path:
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
    numbers = recipe.completed(model.embed_dim).to_dict()
    origin = f"maezoo pretrain on {source.describe()}: {json.dumps(numbers, sort_keys=True)}"
    metadata = describe_model(model, model.preprocess, license=license, origin=origin)
    if path.suffix == ".safetensors" and not path.is_dir():  # a run may have a folder of such a name
        save_model(model, path, metadata=metadata, dtype=torch.float16 if fits else torch.float32)
        return path
    write_folder(path, shared_tensors(half if fits else model.state_dict()), metadata)
    return path / WEIGHTS
