"""Logistic regression on standardised features, and the choice of its regularisation."""

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maezoo.arguments import is_number, whole_number
from maezoo.errors import ArgumentError, MissingExtraError

__all__ = ["Choice", "check_solver", "choose_strength", "fit", "probabilities_of"]

_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # inverse regularisation tried when none is given
_HELD_OUT = 0.2


@dataclass(frozen=True)
class Choice:
    """A strength of the regularisation and where it is from.

    Attributes:
        strength: inverse of the L2 regularisation, scikit-learn's `C`.
        chosen: `"given"`; `"held-out fifth"`; or `"default"`, where too few images are there to hold some out.
    """

    strength: float
    chosen: Literal["given", "held-out fifth", "default"]


def check_solver(strength: float | None, max_iterations: int) -> None:
    """Refuse settings of the solver that cannot be, before anything is fitted.

    Raises:
        ArgumentError: strength or max_iterations is not positive.
    """
    if strength is not None and (not is_number(strength, 0) or not strength):
        raise ArgumentError(f"strength (C) is a number above 0; got {strength!r}.", found=strength)
    whole_number(max_iterations, "max_iterations")


def choose_strength(x: NDArray[np.float32], targets: NDArray[np.int64], max_iterations: int) -> Choice:
    """Return the strength that predicts a held-out fifth of the training images best; the smaller one of equals.

    The search ends at the first strength that does worse: weaker regularisation takes the solver ever longer.
    """
    held_out = np.random.default_rng(0).random(len(x)) < _HELD_OUT
    if held_out.all() or not held_out.any() or len(np.unique(targets[~held_out])) < 2:
        return Choice(_STRENGTHS[-1], "default")
    best, best_accuracy = _STRENGTHS[0], -1.0
    for strength in _STRENGTHS:
        model, _ = fit(x[~held_out], targets[~held_out], strength, max_iterations)
        accuracy = float((model.predict(x[held_out]) == targets[held_out]).mean())
        if accuracy < best_accuracy:
            break
        if accuracy > best_accuracy:
            best, best_accuracy = strength, accuracy
    return Choice(best, "held-out fifth")


def fit(x: NDArray[np.float32], targets: NDArray[np.int64], strength: float, max_iterations: int) -> tuple[Any, bool]:
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


def probabilities_of(scores: NDArray[Any]) -> NDArray[np.float64]:
    """Return the probabilities (n, K) of scores (n, K)."""
    try:
        from scipy.special import softmax
    except ImportError as error:
        raise MissingExtraError.for_extra("eval", "the linear probe") from error
    probabilities: NDArray[np.float64] = softmax(scores.astype(np.float64), axis=1)
    return probabilities
