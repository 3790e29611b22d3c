"""k nearest neighbours: a measure of the feature space itself, because nothing is fitted."""

import numpy as np
import torch
from torch.nn import functional as F

from maezoo.arguments import is_number, whole_number
from maezoo.errors import ArgumentError
from maezoo.evaluation.checks import Overlap, separated
from maezoo.evaluation.features import FeaturesLike
from maezoo.evaluation.predictions import Predictions
from maezoo.evaluation.reading import labelled
from maezoo.evaluation.score import Score, score_predictions

__all__ = ["knn"]

_CHUNK = 1024  # test images compared at a time


def knn(
    train: FeaturesLike, test: FeaturesLike, *, k: int = 20, temperature: float = 0.07, overlap: Overlap = "refuse"
) -> Score:
    """Predict each test image's label by a vote of its nearest training images.

    The weighted vote of Wu et al. 2018 (https://arxiv.org/abs/1805.01978) with the numbers that DINO made usual: cosine
    similarity, k = 20, each neighbour's vote weighs exp(similarity / 0.07). Nothing is fitted.

    Args:
        train: features (n, D) and labels (n,) that vote: `LabelledFeatures`, `(X, y)`, or the path of a file or folder.
        test: features (m, D) and labels (m,) to predict, of the same kinds.
        k: neighbours; at most n are there.
        temperature: of the votes; small lets the nearest alone decide.
        overlap: what to do about images that are in both: `"refuse"`; `"drop"`, leave them out of training; `"keep"`.

    Returns:
        The score.

    Raises:
        DataError: the two do not fit together, share images, or training has one class only.
        ArgumentError: k or temperature is not positive, or another word for `overlap`.
        MissingExtraError: scikit-learn, or pyarrow for Parquet, is not installed.

    Example:
        >>> train = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
        >>> knn((train, ["a", "a", "b", "b"]), ([[1.0, 0.2], [0.2, 1.0]], ["a", "b"]), k=1)
        Score(knn: accuracy 1.000 [1.000, 1.000], balanced 1.000, AUC 1.000, 2 images, 2 classes)
    """
    k = whole_number(k, "k", what="the number of neighbours")
    if not is_number(temperature, 0) or not temperature:
        raise ArgumentError(f"temperature is a number above 0; got {temperature!r}.", found=temperature)
    train, test = labelled(train), labelled(test)
    train = separated(train, test, overlap)
    classes, votes_for = np.unique(train.labels, return_inverse=True)
    bank = F.normalize(torch.from_numpy(train.vectors), dim=1)
    neighbours = min(k, len(bank))
    shares = []
    for start in range(0, len(test), _CHUNK):
        queries = torch.from_numpy(test.vectors[start : start + _CHUNK])
        similarity, index = (F.normalize(queries, dim=1) @ bank.T).topk(neighbours, dim=1)  # (b, k) each
        votes = torch.zeros(len(queries), len(classes), dtype=similarity.dtype, device="cpu")
        votes.scatter_add_(1, torch.from_numpy(votes_for)[index], (similarity / temperature).softmax(dim=1))
        shares.append(votes)
    votes = torch.cat(shares)
    predictions = Predictions(
        classes[votes.argmax(dim=1).numpy()],
        votes.numpy().astype(np.float64),
        classes,
        np.arange(len(test)) if test.ids is None else test.ids,
        test.labels,
    )
    settings = {"k": neighbours, "temperature": temperature, "similarity": "cosine", "overlap": overlap}
    return score_predictions("knn", predictions, settings)
