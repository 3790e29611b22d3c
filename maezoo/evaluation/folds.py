"""Cross-validation: one set of features, each part of it predicted from the others."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maezoo.arguments import whole_number
from maezoo.errors import DataError, MissingExtraError
from maezoo.evaluation.checks import check_classes, row_keys
from maezoo.evaluation.features import FeaturesLike, LabelledFeatures
from maezoo.evaluation.predictions import Predictions
from maezoo.evaluation.reading import labelled
from maezoo.evaluation.score import Score, score_predictions

__all__ = ["cross_validate"]


def cross_validate(
    data: FeaturesLike,
    method: Callable[..., Score],
    *,
    folds: int = 5,
    seed: int = 0,
    groups: ArrayLike | None = None,
    **settings: Any,
) -> Score:
    """Split features into folds of equal shares of each class, and predict each fold from the others.

    Args:
        data: `LabelledFeatures`, `(X, y)`, or the path of a file or folder.
        method: `knn` or `linear`.
        folds: parts to split into.
        seed: of the split.
        groups: (n,) such as the patient of each image. Images of one group are never in different folds; without it
            those of one id or of equal features are not, for they are one image.
        settings: of the method, as `k=10` or `strength=1.0`.

    Returns:
        The score over all images, each predicted once, by a classifier that has not seen it; `folds` has the accuracy
        of each fold.

    Raises:
        DataError: unusable features, one class only, or a class with fewer images or groups than folds.
        ArgumentError: fewer than two folds.
        MissingExtraError: scikit-learn is not installed.

    Example:
        >>> from maezoo.evaluation import knn
        >>> X = np.array([[1.0, 0.1], [1.0, 0.2], [1.0, 0.3], [0.1, 1.0], [0.2, 1.0], [0.3, 1.0]])
        >>> cross_validate((X, ["a", "a", "a", "b", "b", "b"]), knn, folds=3, k=1).folds
        (1.0, 1.0, 1.0)
    """
    data = labelled(data)
    check_classes(data.labels, data.labels)
    grouped = _same_images(data) if groups is None else _numbered(groups)
    if grouped.shape != data.labels.shape:
        raise DataError(f"groups are (n,), one for each of the {len(data):,} rows; got {grouped.shape}.")
    folds, seed = whole_number(folds, "folds", 2), whole_number(seed, "seed", 0, 2**32 - 1)
    _check_folds(data, grouped, folds)
    splits = _splits(data, grouped, folds, seed)
    scores = [method(data.take(train), data.take(test), **settings) for train, test in splits]
    order = np.argsort(np.concatenate([test for _, test in splits]))
    parts = [score.predictions for score in scores]
    if any(part.classes.tolist() != parts[0].classes.tolist() for part in parts):
        raise DataError(
            "in some folds a class has no training image left, since all of them are test images too; give `groups` "
            "that keep equal images together, or none."
        )
    predictions = Predictions(
        np.concatenate([part.predicted for part in parts])[order],
        np.concatenate([part.probabilities for part in parts])[order],
        parts[0].classes,
        np.arange(len(data)) if data.ids is None else data.ids,
        data.labels,
    )
    about = {"folds": folds, "seed": seed, **_merged([score.settings for score in scores])}
    areas = [score.auc for score in scores if score.auc is not None]
    return replace(
        score_predictions(scores[0].method, predictions, about),
        folds=tuple(score.accuracy for score in scores),
        auc=float(np.mean(areas)) if areas else None,
    )


def _numbered(groups: ArrayLike) -> NDArray[np.int64]:
    """Return a number for the group of each row, (n,)."""
    try:
        numbers: NDArray[np.int64] = np.unique(np.asarray(groups), return_inverse=True)[1]
    except TypeError as error:  # of values that have no order
        raise DataError(f"groups are all text or all numbers, without None: {error}.") from error
    return numbers


def _same_images(data: LabelledFeatures) -> NDArray[np.int64]:
    """Number the rows so that those of one id or of equal features have one number, (n,)."""
    try:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components
    except ImportError as error:
        raise MissingExtraError.for_extra("eval", "cross-validation") from error
    names = [row_keys(data.vectors)] + ([] if data.ids is None else [data.ids.tolist()])
    numbered = [np.unique(np.array(each), return_inverse=True)[1] for each in names]
    rows = np.tile(np.arange(len(data)), len(names))
    shifted = [codes + len(data) * (place + 1) for place, codes in enumerate(numbered)]
    size = len(data) * (len(names) + 1)
    links = coo_array((np.ones(len(rows)), (rows, np.concatenate(shifted))), (size, size))
    groups: NDArray[np.int64] = np.unique(
        connected_components(links, directed=False)[1][: len(data)], return_inverse=True
    )[1]
    return groups


def _check_folds(data: LabelledFeatures, groups: NDArray[np.int64], folds: int) -> None:
    """Refuse more folds than the groups of the rarest class."""
    different = set(zip(data.labels.tolist(), groups.tolist(), strict=True))
    counts = Counter(label for label, _ in different)
    label, fewest = min(counts.items(), key=lambda item: item[1])
    if fewest < folds:
        few = sum(count < folds for count in counts.values())
        what = "image" if len(set(groups.tolist())) == len(data) else "group of images"
        raise DataError(
            f"the class {label!r} has {fewest} {what}{'' if fewest == 1 else 's'}, too few for {folds} folds"
            + (f", as have {few - 1} more of the {len(counts)} classes" if few > 1 else "")
            + (f". Take {fewest} folds (--folds {fewest}), or leave" if fewest > 1 else ". Leave")
            + " such classes out.",
            expected=folds,
            found=fewest,
        )


def _splits(
    data: LabelledFeatures, groups: NDArray[np.int64], folds: int, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return the numbers of the training and test rows of each fold."""
    try:
        from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
    except ImportError as error:
        raise MissingExtraError.for_extra("eval", "cross-validation") from error
    found, codes = np.unique(data.labels, return_inverse=True)  # scikit-learn takes fewer kinds of labels
    if len(set(groups.tolist())) == len(data):  # the other one is slow, and splits a little less evenly
        return list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(data.vectors, codes))
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    splits = list(splitter.split(data.vectors, codes, groups))
    if any(len(np.unique(codes[train])) < len(found) or not len(test) for train, test in splits):
        raise DataError(
            f"these groups cannot be split into {folds} folds with every class outside each of them; take fewer folds "
            "or smaller groups.",
            found=folds,
        )
    return splits


def _merged(settings: list[Any]) -> dict[str, Any]:
    """Return the settings of all folds: a value that is the same in all as itself, else the list of them."""
    merged = {}
    for name, first in settings[0].items():
        values = [each[name] for each in settings]
        merged[name] = first if all(value == first for value in values) else values
    return merged
