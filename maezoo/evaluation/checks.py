"""What two sets of features must be, so that a score of one on the other tells something."""

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maezoo.errors import ArgumentError, DataError
from maezoo.evaluation.features import LabelledFeatures, examples

__all__ = ["SAME", "Overlap", "check_classes", "check_pair", "check_same_origin", "row_keys", "separated"]

Overlap = Literal["refuse", "drop", "keep"]
_OVERLAPS = ("refuse", "drop", "keep")
SAME = ("model", "sha256", "preprocess", "pool", "exact", "window", "normalize")  # what rows depend on


def check_pair(train: LabelledFeatures, test: LabelledFeatures) -> None:
    """Refuse features that cannot be compared: widths, models or labels differ, or there is one class only.

    Raises:
        DataError: the message names the difference.
    """
    if train.vectors.shape[1] != test.vectors.shape[1]:
        raise DataError(
            f"training features are {train.vectors.shape[1]} wide, test features {test.vectors.shape[1]}; extract "
            "both with one model and pool.",
            expected=train.vectors.shape[1],
            found=test.vectors.shape[1],
        )
    check_same_origin(train.about, test.about, "training and test features")
    check_classes(train.labels, test.labels)


def check_classes(train: NDArray[Any], test: NDArray[Any]) -> None:
    """Refuse training labels of one class, and test labels of which training has none.

    Raises:
        DataError: the message has the labels.
    """
    if len(set(train.tolist())) < 2:
        raise DataError(
            f"all training images have one label, {train.tolist()[0]!r}; there must be two classes or more."
        )
    if set(train.tolist()).isdisjoint(test.tolist()):
        raise DataError(
            f"no label of the test features is one of training: {examples(test.tolist())}, where training has "
            f"{examples(train.tolist())}. Text and numbers are never equal; take both from one kind of source."
        )


def check_same_origin(ours: Mapping[str, Any], theirs: Mapping[str, Any], what: str) -> None:
    """Refuse features of another model, preprocessing or pooling, as far as both records tell.

    Raises:
        DataError: the message names the first difference; `expected` and `found` have both values.
    """
    for key in SAME:
        if key in ours and key in theirs and ours[key] != theirs[key]:
            raise DataError(
                f"{what} were made with different {_difference(key, ours[key], theirs[key])}. Extract both with the "
                "same settings.",
                expected=ours[key],
                found=theirs[key],
            )


def _difference(key: str, ours: Any, theirs: Any) -> str:
    """Word two values; of two mappings only what differs, such as `preprocess.window`."""
    if not (isinstance(ours, Mapping) and isinstance(theirs, Mapping)):
        return f"{key}: {ours!r} and {theirs!r}"
    ours, theirs = ({"window": "full", **each} for each in (ours, theirs))  # which is not written
    names = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    return "; ".join(f"{key}.{name}: {ours.get(name)!r} and {theirs.get(name)!r}" for name in names)


def separated(train: LabelledFeatures, test: LabelledFeatures, overlap: Overlap) -> LabelledFeatures:
    """Check two sets, look for images that are in both, and return the features to train on.

    An image is in both if its features are equal to the bit, or if its id is: unless the ids are names below two
    different sources, as `cat/1.jpg` in `train/` and in `test/`.

    Args:
        train: features to train on.
        test: features to predict.
        overlap: `"refuse"`; `"drop"`, leave such images out of training; `"keep"`, do not look.

    Raises:
        DataError: as `check_pair`; or some images are in both and are refused, or none is left.
        ArgumentError: another word for `overlap`.
    """
    if overlap not in _OVERLAPS:
        raise ArgumentError.for_choice("overlap", overlap, _OVERLAPS)
    check_pair(train, test)
    shared = _shared(train, test) if overlap != "keep" else np.zeros(len(train), bool)
    if not shared.any():
        return train
    if overlap == "drop":
        if shared.all():
            raise DataError("all training images are test images too; none is left to train on.")
        left = train.take(~shared)
        check_classes(left.labels, test.labels)
        return left
    index = int(np.argmax(shared))
    name = f"row {index}" if train.ids is None else str(train.ids[index])
    raise DataError(
        f"{int(shared.sum()):,} of the {len(train):,} training images are also among the test images (the first is "
        f"{name}); a score on images seen in training tells nothing. Take other images; or leave these out of training "
        "(overlap='drop', --overlap drop); or score one set in folds (cross_validate, --folds 5).",
        index=index,
        found=int(shared.sum()),
    )


def _shared(train: LabelledFeatures, test: LabelledFeatures) -> NDArray[np.bool_]:
    """Return which training images are test images, too (n,)."""
    tested = set(row_keys(test.vectors))
    shared = np.array([key in tested for key in row_keys(train.vectors)])
    if train.ids is not None and test.ids is not None and _one_source(train.about, test.about):
        shared |= np.isin(train.ids, test.ids)
    return shared


def row_keys(vectors: NDArray[np.float32]) -> list[bytes]:
    """Return a hash of each row: equal rows have equal ones, and -0.0 is 0.0."""
    return [hashlib.blake2b((row + 0.0).tobytes(), digest_size=16).digest() for row in vectors]


def _one_source(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Whether ids of both may name the same images; those of two extractions are names below their sources."""
    return "source" not in ours or "source" not in theirs or ours["source"] == theirs["source"]
