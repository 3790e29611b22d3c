"""How far reconstructions are from the truth, compared with fillers that need no training.

Mean squared error of the hidden pixels in [0, 1], the mean over images and three fixed masks of each; the interval is a
bootstrap over the images.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import maezoo
from maezoo.evaluation import harmonic_fill, hidden_error, mean_fill, nearest_fill
from maezoo.images.batches import prepare

RATIOS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.9)
SEEDS = (0, 1, 2)
FILLERS = {"mean of visible": mean_fill, "nearest patch": nearest_fill, "harmonic": harmonic_fill}
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def measure_reconstruction(model: "maezoo.MAE", photos: list[Any]) -> dict[str, Any]:
    """Compare the hidden-patch error of the decoder with those of the fillers, at each ratio.

    Args:
        model: with a decoder.
        photos: paths or Pillow images that the model was not trained on.

    Returns:
        What `measure_ratio` returns, under each ratio.
    """
    images = prepare(photos, model.preprocess).float() / 255
    H, W = images.shape[2:]
    print(f"\n{len(photos)} images at {H}x{W}, patch {model.patch_size}: error of hidden pixels")
    print(
        f"{'hidden':<8}{model.name:>28}{'95 %':>20}"
        + "".join(f"{name:>18}" for name in FILLERS)
        + f"{'/ harmonic':>12}"
    )
    found = {}
    for ratio in RATIOS:
        found[str(ratio)] = entry = measure_ratio(model, photos, images, ratio)
        ours = entry["model"]
        row = f"{ratio:<8}{ours['mse']:>28.4f}{interval_text(ours['interval'], 1, 4):>20}"
        row += "".join(f"{entry[name]['mse']:>18.4f}" for name in FILLERS)
        print(f"{row}{ours['mse'] / entry['harmonic']['mse']:>12.3f}", flush=True)
    return found


def photographs(folder: Path) -> list[Path]:
    """Return the images of a folder, in the order of their names."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def measure_ratio(model: "maezoo.MAE", photos: list[Any], images: Tensor, ratio: float) -> dict[str, Any]:
    """Compare the model's error of hidden pixels with the fillers', at one ratio.

    Args:
        model: with a decoder.
        photos: paths or Pillow images.
        images: (B, 3, H, W) the same in [0, 1], as the model's preprocessing makes them.
        ratio: share of patches hidden.

    Returns:
        `mse` and `interval` under "model" and under each filler's name.
    """
    P, masks = model.patch_size, _masks(model, len(photos), ratio)
    found = {"model": measure_model(model, photos, images, ratio)}
    for name, fill in FILLERS.items():
        found[name] = _judged(_mean_error(images, masks, P, [fill(images, mask, P) for mask in masks]))
    return found


def measure_model(model: "maezoo.MAE", photos: list[Any], images: Tensor, ratio: float) -> dict[str, Any]:
    """Measure the model's error of hidden pixels at one ratio, without the fillers; see `measure_ratio`."""
    masks = _masks(model, len(photos), ratio)
    predicted = [_predict(model, photos, mask) for mask in masks]
    return _judged(_mean_error(images, masks, model.patch_size, predicted))


def _masks(model: "maezoo.MAE", count: int, ratio: float) -> list[Tensor]:
    return [maezoo.random_mask(count, model.grid_size, ratio, seed=seed) for seed in SEEDS]


def _judged(errors: NDArray[Any]) -> dict[str, Any]:
    return {"mse": float(errors.mean()), "interval": _bootstrap(errors)}


def _predict(model: "maezoo.MAE", photos: list[Any], mask: Tensor) -> Tensor:
    """Return the decoder's pictures (B, 3, H, W)."""
    return model.reconstruct(photos, mask=mask).predicted.cpu()


def _mean_error(images: Tensor, masks: list[Tensor], P: int, filled: list[Tensor]) -> NDArray[Any]:
    """Return each image's error, the mean over its masks: (B,)."""
    errors = [hidden_error(each, images, mask, P) for each, mask in zip(filled, masks, strict=True)]
    return torch.stack(errors).mean(dim=0).numpy()


def _bootstrap(values: NDArray[Any]) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean."""
    draws = np.random.default_rng(0).choice(values, (10_000, len(values))).mean(axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def interval_text(interval: tuple[float, float], scale: float, digits: int) -> str:
    """Write an interval, scaled and rounded."""
    return f"{interval[0] * scale:.{digits}f} to {interval[1] * scale:.{digits}f}"
