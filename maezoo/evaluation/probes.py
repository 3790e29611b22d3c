"""Two measures of how well features tell labels apart: nearest neighbours, and a linear probe."""

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from maezoo.errors import ArgumentError, DataError, MissingExtraError
from maezoo.evaluation.features import LabelledFeatures
from maezoo.evaluation.score import Score, score_predictions

__all__ = ["knn", "linear"]

_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # inverse regularisation tried when none is given
_HELD_OUT = 0.2
_CHUNK = 1024  # test images compared at a time


def knn(train: LabelledFeatures, test: LabelledFeatures, *, k: int = 20, temperature: float = 0.07) -> Score:
    """Predict each test image's label by a vote of its nearest training images.

    The weighted vote of Wu et al. 2018 (https://arxiv.org/abs/1805.01978) with the numbers that DINO made usual: cosine
    similarity, k = 20, each neighbour's vote weighs exp(similarity / 0.07). Nothing is fitted.

    Args:
        train: features (n, D) and labels (n,) that vote.
        test: features (m, D) and labels (m,) to predict.
        k: neighbours; at most n are there.
        temperature: of the votes; small lets the nearest alone decide.

    Returns:
        The score.

    Raises:
        DataError: the two do not fit together.
        ArgumentError: k or temperature is not positive.

    Example:
        >>> points = LabelledFeatures(np.eye(4, dtype=np.float32), np.array(["a", "b", "c", "d"]))
        >>> knn(points, points, k=1).accuracy
        1.0
    """
    if k < 1 or temperature <= 0:
        raise ArgumentError(f"k is at least 1 and temperature is above 0; got k={k}, temperature={temperature}.")
    train.check_fits(test)
    classes, votes_for = np.unique(train.labels, return_inverse=True)
    bank = F.normalize(torch.from_numpy(train.vectors), dim=1)
    neighbours = min(k, len(bank))
    predicted = []
    for start in range(0, len(test), _CHUNK):
        queries = torch.from_numpy(test.vectors[start : start + _CHUNK])
        similarity, index = (F.normalize(queries, dim=1) @ bank.T).topk(neighbours, dim=1)  # (b, k) each
        votes = torch.zeros(len(queries), len(classes), dtype=similarity.dtype, device="cpu")
        votes.scatter_add_(1, torch.from_numpy(votes_for)[index], ((similarity - 1) / temperature).exp())
        predicted.append(votes.argmax(dim=1))
    settings = {"k": neighbours, "temperature": temperature, "similarity": "cosine"}
    return score_predictions("knn", classes[torch.cat(predicted).numpy()], test.labels, len(classes), settings)


def linear(
    train: LabelledFeatures, test: LabelledFeatures, *, strength: float | None = None, max_iterations: int = 1000
) -> Score:
    """Fit a linear classifier on the training features and predict the test images' labels.

    As in the paper's linear probe (its appendix A.1) features first go through a batch normalisation without affine
    parameters: here by mean and standard deviation of the training features. Then scikit-learn's logistic regression.

    Args:
        train: features (n, D) and labels (n,) to fit.
        test: features (m, D) and labels (m,) to predict.
        strength: inverse of the L2 regularisation, scikit-learn's `C`. `None` tries 1e-4, 1e-3 … 10 on a held-out fifth
            of the training images until it gets worse; the test images have no say in it.
        max_iterations: of the solver.

    Returns:
        The score; its settings hold the strength used and whether the solver converged.

    Raises:
        DataError: the two do not fit together, or there is one class only.
        MissingExtraError: scikit-learn is not installed.

    Example:
        >>> vectors = np.array([[0.0], [0.1], [1.0], [1.1]], np.float32)
        >>> points = LabelledFeatures(vectors, np.array(["low", "low", "high", "high"]))
        >>> linear(points, points, strength=10.0).accuracy
        1.0
    """
    train.check_fits(test)
    classes, targets = np.unique(train.labels, return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"a linear probe needs two classes or more; the training features have {classes.tolist()}.")
    mean, scale = train.vectors.mean(axis=0), np.sqrt(train.vectors.var(axis=0) + 1e-6)
    x, queries = (train.vectors - mean) / scale, (test.vectors - mean) / scale
    chosen = _choose_strength(x, targets, max_iterations) if strength is None else strength
    model, converged = _fit(x, targets, chosen, max_iterations)
    settings = {"strength": chosen, "searched": strength is None, "converged": converged}
    return score_predictions("linear", classes[model.predict(queries)], test.labels, len(classes), settings)


def _choose_strength(x: NDArray[np.float32], targets: NDArray[np.int64], max_iterations: int) -> float:
    """Return the strength that predicts a held-out fifth of the training images best; the smaller one of equals.

    The search ends at the first strength that does worse: weaker regularisation takes the solver ever longer.
    """
    held_out = np.random.default_rng(0).random(len(x)) < _HELD_OUT
    if held_out.all() or not held_out.any() or len(np.unique(targets[~held_out])) < 2:
        return _STRENGTHS[-1]
    best, best_accuracy = _STRENGTHS[0], -1.0
    for strength in _STRENGTHS:
        model, _ = _fit(x[~held_out], targets[~held_out], strength, max_iterations)
        accuracy = float((model.predict(x[held_out]) == targets[held_out]).mean())
        if accuracy < best_accuracy:
            break
        if accuracy > best_accuracy:
            best, best_accuracy = strength, accuracy
    return best


def _fit(x: NDArray[np.float32], targets: NDArray[np.int64], strength: float, max_iterations: int) -> tuple[Any, bool]:
    """Fit a logistic regression; return it and whether its solver converged."""
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise MissingExtraError.for_extra("eval", "the linear probe") from error
    model = LogisticRegression(C=strength, max_iter=max_iterations)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the score says so instead
        model.fit(x, targets)
    return model, bool(model.n_iter_.max() < max_iterations)
