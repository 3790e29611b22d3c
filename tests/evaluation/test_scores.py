"""Nearest neighbours and the linear probe: against scikit-learn, and on what cannot be evaluated."""

import csv
import json

import numpy as np
import pandas as pd
import pytest

from maezoo.errors import ArgumentError, DataError
from maezoo.evaluation import LabelledFeatures, knn, linear
from maezoo.evaluation.score import bootstrap_interval
from maezoo.evaluation.wording import settings_text


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
    assert score.balanced_accuracy == pytest.approx(0.8)
    assert score.unknown == ("eel",)
    assert [each.label for each in score.per_class] == ["ape", "bee", "cat", "dog", "eel"]
    assert score.per_class[-1].precision is None
    assert score.confusion.sum(axis=1).tolist() == [30] * 5


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
    points = np.eye(3, dtype=np.float32)
    train, test = LabelledFeatures(points, np.array(train)), LabelledFeatures(points + 1, np.array(test))
    for method in (knn, linear):
        with pytest.raises(DataError, match=f"{test.labels.tolist()[0]!r}.*where training has.*"):
            method(train, test)


def test_numbers_are_equal_however_they_are_stored():
    train, test = _clusters(0, spread=0.05), _clusters(1, spread=0.05)
    floats = LabelledFeatures(test.vectors, test.labels.astype(np.float64))
    assert knn(train, floats).accuracy == linear(train, floats).accuracy == 1.0


@pytest.mark.parametrize(
    "labels",
    [[0.0, 1.0, np.nan], np.array(["cat", 1, 2], dtype=object), pd.Series(["cat", pd.NA, "dog"], dtype="string")],
)
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
    assert chosen["chosen"] == "held-out fifth"
    assert chosen["converged"]
    assert linear(train, test, strength=0.5).settings["chosen"] == "given"


def test_one_class_cannot_be_probed():
    train = LabelledFeatures.of(np.eye(3), ["a", "a", "a"])
    for method in (knn, linear):
        with pytest.raises(DataError, match="two classes"):
            method(train, (np.eye(3) + 1, ["a", "a", "b"]))


@pytest.mark.parametrize("vectors", [np.ones((0, 3)), np.ones(3), np.full((3, 2), np.nan)])
def test_unusable_features_are_refused(vectors):
    with pytest.raises(DataError):
        LabelledFeatures(vectors.astype(np.float32), np.zeros(len(vectors)))


@pytest.mark.parametrize("method", [knn, linear])
def test_numbers_are_scikit_learns(method):
    from sklearn import metrics

    train, test = _clusters(0, spread=2.0), _clusters(1, spread=2.0)
    score = method(train, test)
    predicted, shares = score.predictions.predicted, score.predictions.probabilities
    assert score.accuracy == metrics.accuracy_score(test.labels, predicted)
    assert score.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(test.labels, predicted))
    assert score.auc == pytest.approx(metrics.roc_auc_score(test.labels, shares, multi_class="ovr"), abs=1e-6)
    assert score.confusion.tolist() == metrics.confusion_matrix(test.labels, predicted).tolist()
    assert [each.precision for each in score.per_class] == pytest.approx(
        metrics.precision_score(test.labels, predicted, average=None)
    )
    assert np.allclose(shares.sum(axis=1), 1)
    assert (predicted == score.predictions.classes[shares.argmax(axis=1)]).all()


@pytest.mark.parametrize("method", [knn, linear])
def test_two_classes_have_one_area_whatever_they_are_called(method):
    from sklearn.metrics import roc_auc_score

    train, test = (each.take(each.labels < 2) for each in (_clusters(0, spread=3.0), _clusters(1, spread=3.0)))
    score = method(train, test)
    assert 0.5 < score.auc < 1
    assert score.auc == pytest.approx(roc_auc_score(test.labels, score.predictions.probabilities[:, 1]))
    swapped = [LabelledFeatures(each.vectors, 1 - each.labels) for each in (train, test)]
    assert method(*swapped).auc == pytest.approx(score.auc)


def test_test_images_of_one_class_have_no_area():
    train, test = _clusters(0), _clusters(1)
    score = linear(train, test.take(test.labels == 2))
    assert score.auc is None
    assert json.loads(json.dumps(score.to_dict()))["auc"] is None
    assert "AUC" not in repr(score)


def test_a_small_temperature_leaves_the_nearest_image_alone_to_vote():
    train, test = _clusters(0, spread=2.0), _clusters(1, spread=2.0)
    assert knn(train, test, temperature=1e-4).correct == knn(train, test, k=1).correct


def test_results_show_themselves_shortly_and_escape_labels():
    train, test = _clusters(0), _clusters(1)
    names = np.array(["<i>", "bee", "cat", "dog", "eel"])
    score = linear(*(LabelledFeatures(each.vectors, names[each.labels]) for each in (train, test)))
    for shown in (score, score.predictions, train):
        assert len(repr(shown)) < 160
        assert "\n" not in repr(shown)
        assert shown._repr_html_().count("<table>") == 1
    assert "&lt;i&gt;" in score._repr_html_()
    assert "<i>" not in score._repr_html_()


@pytest.mark.parametrize("wrong", [{"strength": 0.0}, {"strength": float("nan")}, {"max_iterations": 0}])
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ArgumentError, match=r"at least 1|above 0"):
        linear(_clusters(0), _clusters(1), **wrong)
    with pytest.raises(ArgumentError, match="above 0"):
        knn(_clusters(0), _clusters(1), temperature=float("nan"))


def test_too_few_images_for_a_search_are_said_to_have_been_too_few():
    score = linear(([[0.0], [1.0]], ["a", "b"]), ([[0.1], [0.9]], ["a", "b"]))
    assert "too few images" in settings_text(score.settings)


def test_predictions_are_written_as_a_table(tmp_path):
    train, test = _clusters(0), _clusters(1)
    names = [f'{number}, "x".jpg' for number in range(len(test))]
    score = knn(train, LabelledFeatures.of(test.vectors, test.labels, ids=names))
    score.predictions.save(tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "label", "predicted", "probability"]
    assert [row["id"] for row in rows] == names
    assert sum(row["label"] == row["predicted"] for row in rows) == score.correct
    assert all(0.2 <= float(row["probability"]) <= 1 for row in rows)
    with pytest.raises(ArgumentError, match=r"\.csv"):
        score.predictions.save(tmp_path / "out.xlsx")
