"""Cross-validation: splits that are fair, equal for equal seeds, and free of leaks."""

import numpy as np
import pytest

from maezoo.errors import DataError
from maezoo.evaluation import LabelledFeatures, cross_validate, knn, linear

RNG = np.random.default_rng(0)
LABELS = np.arange(60) % 3
X = np.eye(3)[LABELS] + RNG.normal(size=(60, 3))
METHODS = pytest.mark.parametrize("method", [knn, linear])


@METHODS
def test_each_image_is_predicted_once_by_the_others(method):
    score = cross_validate((X, LABELS), method, folds=4, seed=3)
    assert (score.total, len(score.folds), score.settings["folds"], score.settings["seed"]) == (60, 4, 4, 3)
    assert np.mean(score.folds) == pytest.approx(score.accuracy)
    assert score.predictions.labels.tolist() == LABELS.tolist()
    assert [each.support for each in score.per_class] == [20, 20, 20]
    assert score.interval[0] < score.accuracy < score.interval[1]


def test_the_seed_decides_the_split():
    first, again, other = (cross_validate((X, LABELS), linear, seed=seed, strength=1.0) for seed in (0, 0, 1))
    assert first.predictions.probabilities.tolist() == again.predictions.probabilities.tolist()
    assert first.predictions.probabilities.tolist() != other.predictions.probabilities.tolist()


def test_it_is_scikit_learns():
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.neighbors import KNeighborsClassifier

    split = StratifiedKFold(5, shuffle=True, random_state=0)
    theirs = cross_val_score(KNeighborsClassifier(1, metric="cosine"), X, LABELS, cv=split)
    assert cross_validate((X, LABELS), knn, k=1).folds == pytest.approx(tuple(theirs))


def test_labels_of_no_meaning_stay_at_chance_though_each_image_is_there_twice():
    """Were one copy in training, the nearest neighbour would be right each time."""
    vectors, labels = RNG.normal(size=(60, 8)), RNG.integers(0, 2, 60)
    twice = np.concatenate([vectors, vectors]), np.concatenate([labels, labels])
    assert cross_validate(twice, knn, k=1).accuracy < 0.8
    ids = np.tile(np.arange(60), 2)
    views = LabelledFeatures.of(twice[0] + RNG.normal(size=(120, 8)) * 1e-3, twice[1], ids=ids)
    assert cross_validate(views, knn, k=1).accuracy < 0.8


def test_groups_stay_together():
    patients = np.repeat(np.arange(20), 3)
    labels = patients % 2
    vectors = RNG.normal(size=(20, 8))[patients] + RNG.normal(size=(60, 8)) * 0.01
    assert cross_validate((vectors, labels), knn, k=1).accuracy > 0.95
    assert cross_validate((vectors, labels), knn, k=1, groups=[f"p{each}" for each in patients]).accuracy < 0.8
    with pytest.raises(DataError, match="groups are"):
        cross_validate((vectors, labels), knn, groups=patients[:5])


@pytest.mark.parametrize(
    ("labels", "folds", "says"),
    [
        (["rare"] * 3 + ["dog"] * 57, 5, r"'rare' has 3 images, too few for 5 folds\. Take 3 folds \(--folds 3\)"),
        (
            ["one", "two"] + ["dog"] * 58,
            2,
            r"has 1 image, too few for 2 folds, as have 1 more of the 3 classes\. Leave",
        ),
        (["dog"] * 60, 5, "one label"),
    ],
)
def test_too_few_images_of_a_class_are_refused(labels, folds, says):
    with pytest.raises(DataError, match=says):
        cross_validate((X, labels), knn, folds=folds)


@pytest.mark.parametrize(
    "labels", [LABELS.astype(object), np.array([b"a", b"b", b"c"])[LABELS], (LABELS * 365).astype("datetime64[D]")]
)
def test_labels_of_any_kind_are_split_alike(labels):
    wanted = cross_validate((X, LABELS), knn)
    found = cross_validate((X, labels), knn)
    assert (found.folds, found.auc) == (wanted.folds, wanted.auc)
    assert found.confusion.tolist() == wanted.confusion.tolist()


def test_groups_that_have_no_order_are_refused():
    with pytest.raises(DataError, match="groups are all text or all numbers"):
        cross_validate((X, LABELS), knn, groups=[None, "one"] * 30)


def test_groups_that_leave_no_fair_split_are_refused():
    labels = [0, 0, 1, 0, 1, 0, 0, 1, 0]
    groups = [1, 3, 3, 3, 3, 0, 1, 2, 3]
    with pytest.raises(DataError, match="cannot be split into 2 folds"):
        cross_validate((X[:9], labels), knn, folds=2, groups=groups)


def test_one_fold_is_none():
    with pytest.raises(ValueError, match="at least 2"):
        cross_validate((X, LABELS), knn, folds=1)
