"""Scores of features on labelled images: the model's, those of random weights, and descriptors without training."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F

import maezoo
from benchmarks.quality.descriptors import descriptors
from benchmarks.quality.reconstruction import interval_text
from maezoo.api.image_methods import ImageMethods
from maezoo.evaluation import LabelledFeatures, Score, knn, linear

__all__ = ["measure_features", "score_vectors"]


def measure_features(
    model: "maezoo.MAE",
    images: list[Image.Image],
    labels: NDArray[Any],
    test: NDArray[np.bool_],
    precisions: list[str],
) -> dict[str, Any]:
    """Score the model's features and the untrained ones, of labelled images (n)."""
    print(f"\n{(~test).sum():,} training and {test.sum():,} test images, {len(set(labels))} classes")
    print(f"{'features':<34}{'kNN %':>7}{'95 %':>16}{'linear %':>11}{'95 %':>16}")
    found: dict[str, Any] = {}
    for name, vectors in _feature_sets(model, images, precisions):
        scores = score_vectors(vectors, labels, test)
        found[name] = {score.method: score.to_dict() for score in scores}
        columns = (
            f"{100 * s.accuracy:>{7 if s.method == 'knn' else 11}.1f}{interval_text(s.interval, 100, 1):>16}"
            for s in scores
        )
        print(f"{name:<34}{''.join(columns)}", flush=True)
    return found


def score_vectors(vectors: NDArray[Any], labels: NDArray[Any], test: NDArray[np.bool_]) -> list[Score]:
    """Return the k-nearest-neighbour and the linear score of (n, D) vectors."""
    sets = [LabelledFeatures(vectors[part].astype(np.float32), labels[part]) for part in (~test, test)]
    # colours of different images may be equal: they are no sign of one image in both sets
    return [knn(*sets, overlap="keep"), linear(*sets, max_iterations=300, overlap="keep")]


def _feature_sets(
    model: "maezoo.MAE", images: list[Image.Image], precisions: list[str]
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield each kind of features by name, (n, D)."""
    torch.manual_seed(0)
    untrained = maezoo.create(model.name.partition(".")[0], device=model.device, decoder=False)
    untrained.preprocess = model.preprocess
    exact: tuple[NDArray[Any], NDArray[Any]] | None = None
    for name, each in ((model.name, model), *_optimised(model, precisions), ("random weights", untrained)):
        both = each.features(images, pool="cls+mean").float().cpu().numpy()
        cls, mean = np.split(both, 2, axis=1)
        exact = (mean, cls) if exact is None else exact
        if isinstance(each, maezoo.OptimizedMAE):
            for pool, vectors, true in zip(("mean", "cls"), (mean, cls), exact, strict=True):
                print(f"  {pool} compared with float32: {_nearness(vectors, true)}")
        yield f"{name}, mean", mean
        yield f"{name}, cls", cls
        if not isinstance(each, maezoo.OptimizedMAE):
            yield f"{name}, map 2x2", _pooled_map(each, images, 2)
    yield from descriptors(images)


def _optimised(model: "maezoo.MAE", precisions: list[str]) -> "list[tuple[str, maezoo.OptimizedMAE]]":
    """Return the model in other precisions, by name."""
    return [(f"  in {precision}", model.optimize(precision=precision)) for precision in precisions]


def _nearness(found: NDArray[Any], exact: NDArray[Any]) -> str:
    """Say how close (n, D) vectors are to the exact ones, also relative to how far those are from their mean."""
    cosine = np.sum(found * exact, axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(exact, axis=1)
    error = np.linalg.norm(found - exact) / np.linalg.norm(exact - exact.mean(axis=0))
    return f"cosine {cosine.min():.5f} at least, {cosine.mean():.5f} on average; error {error:.1%} of the spread"


def _pooled_map(model: ImageMethods, images: list[Image.Image], side: int) -> NDArray[Any]:
    """Average the feature map in side x side parts, side by side: a vector that keeps the layout, as HOG's does."""
    (maps,) = model.feature_maps(images)
    return F.adaptive_avg_pool2d(maps.float(), side).flatten(1).cpu().numpy()
