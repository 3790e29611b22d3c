"""The linear probe in one call: fitted on one set of features, scored on another."""

from maezoo.evaluation.checks import Overlap, separated
from maezoo.evaluation.features import FeaturesLike
from maezoo.evaluation.fitting import check_solver
from maezoo.evaluation.probe import Probe
from maezoo.evaluation.reading import labelled
from maezoo.evaluation.score import Score

__all__ = ["linear"]


def linear(
    train: FeaturesLike,
    test: FeaturesLike,
    *,
    strength: float | None = None,
    max_iterations: int = 1000,
    overlap: Overlap = "refuse",
) -> Score:
    """Fit a linear classifier on the training features and predict the test images' labels.

    As in the paper's linear probe (its appendix A.1) features first go through a batch normalisation without affine
    parameters: here by mean and standard deviation of the training features. Then scikit-learn's logistic regression.
    To keep the classifier, use `Probe.fit`.

    Args:
        train: features (n, D) and labels (n,) to fit: `LabelledFeatures`, `(X, y)`, or the path of a file or folder.
        test: features (m, D) and labels (m,) to predict, of the same kinds.
        strength: inverse of the L2 regularisation, scikit-learn's `C`. `None` tries 1e-4, 1e-3 … 10 on a held-out fifth
            of the training images until it gets worse; the test images have no say in it.
        max_iterations: of the solver.
        overlap: what to do about images that are in both: `"refuse"`; `"drop"`, leave them out of training; `"keep"`.

    Returns:
        The score; its settings hold the strength used, how it was chosen, and whether the solver converged.

    Raises:
        DataError: the two do not fit together, share images, or training has one class only.
        ArgumentError: strength or max_iterations is not positive, or another word for `overlap`.
        MissingExtraError: scikit-learn, or pyarrow for Parquet, is not installed.

    Example:
        >>> train = ([[0.0], [0.1], [1.0], [1.1]], ["low", "low", "high", "high"])
        >>> linear(train, ([[0.2], [0.9]], ["low", "high"]), strength=10.0).accuracy
        1.0
    """
    check_solver(strength, max_iterations)
    train, test = labelled(train), labelled(test)
    train = separated(train, test, overlap)
    return Probe.fit(train, strength=strength, max_iterations=max_iterations).score(test)
