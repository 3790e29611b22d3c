"""What an evaluation gives: an accuracy with its interval, the numbers of each class, and all predictions."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maezoo.errors import MissingExtraError
from maezoo.evaluation.predictions import Predictions
from maezoo.evaluation.wording import share_text
from maezoo.notebooks import html_table

__all__ = ["ClassScore", "Score", "bootstrap_interval", "score_predictions"]

_SHOWN = 20  # classes in a notebook


@dataclass(frozen=True)
class ClassScore:
    """The numbers of one class.

    Attributes:
        label: of the class.
        precision: share of the images predicted as this class that are of it; `None` where none was.
        recall: share of the images of this class that were predicted as it; `None` where the test has none.
        support: test images of this class.
    """

    label: Any
    precision: float | None
    recall: float | None
    support: int


@dataclass(frozen=True, eq=False, repr=False)
class Score:
    """The result of one evaluation.

    Attributes:
        method: `"knn"`, `"linear"`, or `"classify"` for a fine-tuned classifier.
        accuracy: share of test images whose label was predicted.
        interval: 95 % bootstrap interval of it over the test images.
        balanced_accuracy: mean over the classes of the test set of the recall of each.
        auc: area under the ROC curve: of two classes that of either, of more the mean over one against the rest. In
            folds the mean over them. Images whose label is not in training do not count. `None` where the test images
            are of one class.
        correct: test images predicted right.
        total: test images.
        classes: classes of the training set.
        unknown: labels of test images that training does not have; such images count as predicted wrong.
        folds: accuracy of each fold of a cross-validation.
        per_class: precision, recall and support of each class, those of training first.
        confusion: (L, L) int, test images by their label (row) and the label predicted (column), in the order of
            `per_class`.
        settings: what the method was run with.
        predictions: the label predicted for each test image.
    """

    method: str
    accuracy: float
    interval: tuple[float, float]
    balanced_accuracy: float
    auc: float | None
    correct: int
    total: int
    classes: int
    unknown: tuple[Any, ...]
    folds: tuple[float, ...]
    per_class: tuple[ClassScore, ...]
    confusion: NDArray[np.int64]
    settings: Mapping[str, Any]
    predictions: Predictions

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, fit for JSON: all but the confusion matrix and the predictions."""
        names = ("method", "accuracy", "balanced_accuracy", "auc", "correct", "total", "classes")
        return {
            **{name: getattr(self, name) for name in names},
            "interval": list(self.interval),
            "unknown": list(self.unknown),
            "folds": list(self.folds),
            "settings": dict(self.settings),
            "per_class": [asdict(each) for each in self.per_class],
        }

    def __str__(self) -> str:
        low, high = self.interval
        images = f"{self.total:,} images" + (f" in {len(self.folds)} folds" if self.folds else "")
        return f"{self.method} {self.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%}; {images})"

    def __repr__(self) -> str:
        auc = "" if self.auc is None else f", AUC {self.auc:.3f}"
        low, high = self.interval
        return (
            f"Score({self.method}: accuracy {self.accuracy:.3f} [{low:.3f}, {high:.3f}], balanced "
            f"{self.balanced_accuracy:.3f}{auc}, {self.total:,} images, {self.classes} classes)"
        )

    def _repr_html_(self) -> str:
        rows = [
            (str(each.label), share_text(each.precision), share_text(each.recall), f"{each.support:,}")
            for each in self.per_class[:_SHOWN]
        ]
        more = f"; the first {_SHOWN} of {len(self.per_class)} classes" if len(self.per_class) > _SHOWN else ""
        auc = "" if self.auc is None else f"; AUC {self.auc:.3f}"
        caption = f"{self}; balanced accuracy {self.balanced_accuracy:.1%}{auc}{more}"
        return html_table(rows, columns=("class", ">precision", ">recall", ">support"), title=caption)


def bootstrap_interval(correct: int, total: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile bootstrap interval of an accuracy.

    Drawing `total` images with replacement from `total` of which `correct` are right gives a binomial number of right
    ones, so the interval is that distribution's own; nothing has to be drawn.

    Args:
        correct: images predicted right.
        total: images.
        level: share of the resamples inside the interval.

    Raises:
        MissingExtraError: SciPy is not installed.

    Example:
        >>> bootstrap_interval(80, 100)
        (0.72, 0.88)
    """
    try:
        from scipy.stats import binom
    except ImportError as error:
        raise MissingExtraError.for_extra("eval", "the interval of an accuracy") from error
    low, high = binom.interval(level, total, correct / total)
    return float(low / total), float(high / total)


def score_predictions(method: str, predictions: Predictions, settings: Mapping[str, Any]) -> Score:
    """Compare predictions with the true labels that they hold, and make the score.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
    except ImportError as error:
        raise MissingExtraError.for_extra("eval", "a score") from error
    classes = predictions.classes.tolist()
    labels = [] if predictions.labels is None else predictions.labels.tolist()
    unknown = sorted(set(labels) - set(classes), key=str)
    code = {label: number for number, label in enumerate([*classes, *unknown])}
    true, found = (np.array([code[label] for label in each]) for each in (labels, predictions.predicted.tolist()))
    every = np.arange(len(code))
    precision, recall, _, support = precision_recall_fscore_support(true, found, labels=every, zero_division=0)
    confusion: NDArray[np.int64] = confusion_matrix(true, found, labels=every)
    right = int((true == found).sum())
    return Score(
        method=method,
        accuracy=right / len(true),
        interval=bootstrap_interval(right, len(true)),
        balanced_accuracy=float(recall[support > 0].mean()),
        auc=_auc(true, predictions.probabilities),
        correct=right,
        total=len(true),
        classes=len(classes),
        unknown=tuple(unknown),
        folds=(),
        per_class=tuple(map(_class_score, code, precision, recall, confusion.sum(axis=0), support)),
        confusion=confusion,
        settings=settings,
        predictions=predictions,
    )


def _class_score(label: Any, precision: float, recall: float, predicted: int, support: int) -> ClassScore:
    """Make the score of one class, without the shares of nothing."""
    return ClassScore(label, float(precision) if predicted else None, float(recall) if support else None, int(support))


def _auc(true: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float | None:
    """Return the area under the ROC curve: of the second of two classes, else the mean of one against the rest."""
    from sklearn.metrics import roc_auc_score

    count = probabilities.shape[1]
    known = true < count
    true, probabilities = true[known], probabilities[known]
    classes = np.unique(true)
    if len(classes) < 2:
        return None
    asked = classes[1:] if count == 2 else classes
    return float(np.mean([roc_auc_score(true == each, probabilities[:, each]) for each in asked]))
