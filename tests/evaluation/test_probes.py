"""Nearest neighbours and the linear probe: against scikit-learn, and on what cannot be evaluated."""

import numpy as np
import pytest

from maezoo.errors import DataError
from maezoo.evaluation import LabelledFeatures, knn, linear
from maezoo.evaluation.score import bootstrap_interval


def _clusters(seed: int, per_class: int = 30, spread: float = 0.8, width: int = 16) -> LabelledFeatures:
    centres = np.random.default_rng(7).normal(size=(5, width))
    labels = np.repeat(np.arange(5), per_class)
    noise = np.random.default_rng(seed).normal(size=(len(labels), width))
    return LabelledFeatures((centres[labels] + spread * noise).astype(np.float32), labels)


def test_separated_classes_are_all_found():
    train, test = _clusters(0, spread=0.05), _clusters(1, spread=0.05)
    assert knn(train, test).accuracy == linear(train, test).accuracy == 1.0


def test_labels_of_no_meaning_are_found_at_chance():
    train, test = _clusters(0, per_class=200), _clusters(1, per_class=200)
    shuffled = LabelledFeatures(train.vectors, np.random.default_rng(0).permutation(train.labels))
    assert abs(knn(shuffled, test).accuracy - 0.2) < 0.12
    assert abs(linear(shuffled, test).accuracy - 0.2) < 0.12


def test_knn_is_scikit_learns_with_these_weights():
    from sklearn.neighbors import KNeighborsClassifier

    train, test = _clusters(0, spread=2.0), _clusters(1, spread=2.0)
    theirs = KNeighborsClassifier(20, metric="cosine", weights=lambda distance: np.exp(-distance / 0.07))
    theirs.fit(train.vectors, train.labels)
    assert knn(train, test).correct == int((theirs.predict(test.vectors) == test.labels).sum())


def test_the_probe_does_not_mind_the_features_scale():
    train, test = _clusters(0, spread=2.0), _clusters(1, spread=2.0)
    scale = np.logspace(-2, 2, 16, dtype=np.float32)
    scaled = [LabelledFeatures(each.vectors * scale + 5, each.labels) for each in (train, test)]
    assert abs(linear(*scaled).correct - linear(train, test).correct) <= 1


def test_string_labels_and_classes_that_the_training_set_lacks():
    train, test = _clusters(0, spread=0.05), _clusters(1, spread=0.05)
    names = np.array(["ape", "bee", "cat", "dog", "eel"])
    train = LabelledFeatures(train.vectors[train.labels < 4], names[train.labels[train.labels < 4]])
    score = knn(train, LabelledFeatures(test.vectors, names[test.labels]))
    assert (score.correct, score.total, score.classes) == (120, 150, 4)
    assert score.class_accuracy == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ([0, 1, 2], ["0", "1", "2"]),
        (["0", "1", "2"], [0, 1, 2]),
        (["cat", "dog", "eel"], [b"cat", b"dog", b"eel"]),
        (["cat", "dog", "eel"], ["Cat", "Dog", "Eel"]),
        ([1, 2, 3], [10, 20, 30]),
    ],
)
def test_labels_of_which_none_could_ever_be_right_are_refused(train, test):
    train, test = (LabelledFeatures(np.eye(3, dtype=np.float32), np.array(labels)) for labels in (train, test))
    for method in (knn, linear):
        with pytest.raises(DataError, match=f"{test.labels.tolist()[0]!r}.*where training has.*"):
            method(train, test)


def test_numbers_are_equal_however_they_are_stored():
    train, test = _clusters(0, spread=0.05), _clusters(1, spread=0.05)
    floats = LabelledFeatures(test.vectors, test.labels.astype(np.float64))
    assert knn(train, floats).accuracy == linear(train, floats).accuracy == 1.0


@pytest.mark.parametrize("labels", [[0.0, 1.0, np.nan], np.array(["cat", 1, 2], dtype=object)])
def test_labels_that_stand_for_nothing_are_refused(labels):
    with pytest.raises(DataError, match="labels are "):
        LabelledFeatures(np.eye(3, dtype=np.float32), np.asarray(labels))


def test_the_interval_is_that_of_a_plain_bootstrap():
    right = np.arange(200) < 140
    draws = np.random.default_rng(1).choice(right, (4000, 200)).mean(axis=1)
    assert bootstrap_interval(140, 200) == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.006)


@pytest.mark.parametrize(
    ("train", "test", "says"),
    [
        (LabelledFeatures(np.ones((2, 3), np.float32), np.array([0, 1])), _clusters(0), "3 wide"),
        (
            LabelledFeatures(np.ones((2, 3), np.float32), np.array([0, 1]), {"pool": "cls"}),
            LabelledFeatures(np.ones((2, 3), np.float32), np.array([0, 1]), {"pool": "mean"}),
            "different pool: 'cls' and 'mean'",
        ),
    ],
)
def test_features_that_do_not_fit_together_are_refused(train, test, says):
    for method in (knn, linear):
        with pytest.raises(DataError, match=says):
            method(train, test)


def test_the_strength_is_searched_without_the_test_images():
    train, test = _clusters(0, spread=2.0), _clusters(1, spread=2.0)
    chosen = linear(train, test).settings
    shuffled = LabelledFeatures(test.vectors, np.random.default_rng(3).permutation(test.labels))
    assert linear(train, shuffled).settings == chosen
    assert chosen["searched"]
    assert chosen["converged"]
    assert not linear(train, test, strength=0.5).settings["searched"]


def test_one_class_cannot_be_probed():
    points = LabelledFeatures(np.ones((3, 2), np.float32), np.array(["a", "a", "a"]))
    with pytest.raises(DataError, match="two classes"):
        linear(points, points)


@pytest.mark.parametrize("vectors", [np.ones((0, 3)), np.ones(3), np.full((3, 2), np.nan)])
def test_unusable_features_are_refused(vectors):
    with pytest.raises(DataError):
        LabelledFeatures(vectors.astype(np.float32), np.zeros(len(vectors)))
