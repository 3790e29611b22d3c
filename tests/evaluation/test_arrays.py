"""Features from arrays, and sets that must not be compared."""

import numpy as np
import pandas as pd
import pytest
import torch

from maezoo.errors import DataError
from maezoo.evaluation import LabelledFeatures, knn, linear

METHODS = pytest.mark.parametrize("method", [knn, linear])
RNG = np.random.default_rng(0)
LABELS = np.arange(40) % 4
X, OTHER_X = (np.eye(4)[LABELS] * 3 + RNG.normal(size=(40, 4)) * 0.3 for _ in range(2))


@METHODS
@pytest.mark.parametrize(
    "make",
    [
        lambda x, y: (x, y),
        lambda x, y: (x.tolist(), y.tolist()),
        lambda x, y: (torch.tensor(x, requires_grad=True), torch.tensor(y)),
        lambda x, y: (torch.tensor(x).bfloat16(), torch.tensor(y)),
        lambda x, y: (pd.DataFrame(x), pd.Series(y).map(str)),
        lambda x, y: (x, pd.Categorical.from_codes(y, ["ape", "bee", "cat", "dog"])),
        lambda x, y: (x.astype(np.float16), y.astype(float)),
        lambda x, y: LabelledFeatures.of(x, y, ids=[f"{id(x)}/{number}.jpg" for number in range(len(x))]),
    ],
)
def test_arrays_of_any_library_are_taken(method, make):
    score = method(make(X, LABELS), make(OTHER_X, LABELS))
    assert (score.accuracy, score.total, score.classes) == (1.0, 40, 4)


@METHODS
def test_paths_are_taken(method, tmp_path):
    np.savez(tmp_path / "train.npz", features=X, label=LABELS)
    np.savez(tmp_path / "test.npz", features=OTHER_X, label=LABELS)
    assert method(str(tmp_path / "train.npz"), tmp_path / "test.npz").accuracy == 1.0


@METHODS
@pytest.mark.parametrize(
    "test", [(X, LABELS), (X[7:8], LABELS[7:8]), (np.concatenate([OTHER_X, X[3:4]]), [*LABELS, 3])]
)
def test_images_of_training_among_those_of_the_test_are_refused(method, test):
    with pytest.raises(DataError, match=r"also among the test images \(the first is row") as caught:
        method((X, LABELS), test)
    assert caught.value.found in (1, 40)


@METHODS
def test_equal_ids_are_one_image_whatever_its_features(method):
    names = np.array([f"{number}.jpg" for number in range(40)])
    train = LabelledFeatures.of(X, LABELS, ids=names)
    test = LabelledFeatures.of(OTHER_X, LABELS, ids=np.roll(names, 1))
    with pytest.raises(DataError, match=r"40 of the 40 training images are also .*0\.jpg"):
        method(train, test)
    other = LabelledFeatures.of(OTHER_X, LABELS, ids=np.char.add("b", names))
    assert method(train, other).accuracy == 1.0


def test_ids_below_two_sources_are_different_images():
    names = [f"cat/{number}.jpg" for number in range(40)]
    sets = [(X, "/photos/train"), (OTHER_X, "/photos/test"), (OTHER_X, "/photos/train")]
    train, test, same = (LabelledFeatures.of(x, LABELS, names, {"source": source}) for x, source in sets)
    assert knn(train, test).accuracy == 1.0
    with pytest.raises(DataError, match="also among"):
        knn(train, same)


@METHODS
def test_shared_images_can_be_dropped_from_training_or_kept(method):
    both = np.concatenate([X, OTHER_X[:10]]), [*LABELS, *LABELS[:10]]
    with pytest.raises(DataError, match="10 of the 50"):
        method(both, (OTHER_X, LABELS))
    dropped = method(both, (OTHER_X, LABELS), overlap="drop")
    assert np.allclose(
        dropped.predictions.probabilities, method((X, LABELS), (OTHER_X, LABELS)).predictions.probabilities
    )
    assert method(both, (OTHER_X, LABELS), overlap="keep").total == 40
    with pytest.raises(DataError, match="none is left"):
        method((X, LABELS), (X, LABELS), overlap="drop")
    with pytest.raises(ValueError, match="overlap is one of 'refuse', 'drop', 'keep'"):
        method((X, LABELS), (OTHER_X, LABELS), overlap="ignore")


@METHODS
@pytest.mark.parametrize(
    ("train", "test", "says"),
    [
        ((X, ["cat"] * 40), (OTHER_X, ["cat"] * 40), "one label, 'cat'"),
        ((X, LABELS), (OTHER_X, LABELS + 9), r"9, 10, 11 and 1 more, where training has 0, 1, 2 and 1 more"),
        ((X, LABELS), (OTHER_X[:, :3], LABELS), "4 wide, test features 3"),
        ((np.where(X > 2, np.nan, X), LABELS), (OTHER_X, LABELS), r"NaN or infinity in \d+ rows, the first is row"),
        ((X, LABELS), (OTHER_X * 1e300, LABELS), "NaN or infinity"),
        ((X, LABELS), (OTHER_X, LABELS / 7), "classes, text or whole numbers; got 0.14"),
        ((X, LABELS), (OTHER_X, [None, *LABELS[1:]]), "missing"),
        ((X, LABELS), (OTHER_X, pd.Series(["a", None] * 20)), "missing"),
        ((X, LABELS), (OTHER_X, LABELS[:5]), r"\(40, 4\) and \(5,\)"),
        ((X, LABELS), ([[1, 2], [3]], [0, 1]), "array"),
        ((X, LABELS), (np.array([["a"], ["b"]]), [0, 1]), "numbers"),
        ((X, LABELS), OTHER_X, "a tuple"),
        ((X, LABELS), (np.empty((0, 4)), []), "at least 1"),
    ],
)
def test_what_cannot_be_scored_is_refused_before_any_work(method, train, test, says):
    with pytest.raises(DataError, match=says):
        method(train, test)


def test_the_class_itself_says_what_takes_lists():
    with pytest.raises(DataError, match=r"LabelledFeatures\.of"):
        LabelledFeatures([[1.0]], ["a"])
    with pytest.raises(DataError, match="ids are"):
        LabelledFeatures.of([[1.0]], ["a"], ids=["x", "y"])
