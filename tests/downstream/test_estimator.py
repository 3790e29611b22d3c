"""Features as a scikit-learn transformer: its contract, its input, and what is built around it."""

import io
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from joblib import hash as joblib_hash
from PIL import Image
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import maezoo
from maezoo.api.mae import MAE
from maezoo.downstream import MAEFeatures
from maezoo.downstream.estimator import UNSUITABLE_CHECKS
from maezoo.errors import ArgumentError, ImageError

NEEDS_SETTING = "check_array_api_input"  # skipped unless SCIPY_ARRAY_API is set


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (6, 40, 48, 3), dtype=np.uint8)


def outcomes(estimator, **options):
    results = check_estimator(estimator, on_fail=None, on_skip=None, **options)
    return {(result["check_name"], result["status"]) for result in results if result["check_name"] != NEEDS_SETTING}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_checks_pass_but_for_those_that_are_listed():
    found = outcomes(MAEFeatures(device="cpu"), expected_failed_checks=UNSUITABLE_CHECKS)
    assert {name for name, status in found if status != "passed"} == set(UNSUITABLE_CHECKS)
    assert {status for _, status in found} == {"passed", "xfail"}


class Rows(MAEFeatures):
    """Takes the checks' tables, each row drawn as a picture."""

    def transform(self, X):
        grey = (255 * (np.tanh(np.asarray(X, dtype=float)) + 1) / 2).astype(np.uint8)
        return super().transform(grey[:, None].repeat(8, axis=1))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_the_listed_checks_pass_on_pictures_of_their_numbers():
    found = outcomes(Rows(device="cpu", img_size=16))
    assert {name for name, status in found if status != "passed"} == set()
    assert set(UNSUITABLE_CHECKS) <= {name for name, _ in found}


@pytest.mark.parametrize("pool", ["cls", "mean", "cls+mean"])
def test_the_rows_are_the_models_features(photos, pool):
    model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
    rows = MAEFeatures(pool=pool, device="cpu").fit_transform(photos)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, model.features(photos, pool=pool).numpy())


def test_every_kind_of_list_gives_the_same_rows(photos):
    estimator = MAEFeatures(device="cpu")
    paths = [str(path) for path in photos]
    expected = estimator.transform(paths)
    column = pd.DataFrame({"path": paths})
    for X in (
        photos,
        np.array(paths),
        np.array(paths, dtype=object)[:, None],
        column,
        column["path"],
        pl.DataFrame({"path": paths}),
        pl.Series(paths),
        (path.read_bytes() for path in photos),
        [Image.open(path) for path in photos],
    ):
        np.testing.assert_array_equal(estimator.transform(X), expected)


def test_the_first_axis_of_an_array_counts_images(images):
    estimator = MAEFeatures(device="cpu")
    grey = images[..., 0]
    np.testing.assert_array_equal(estimator.transform(grey), estimator.transform(list(grey)))
    assert estimator.transform(grey[:, :, :3]).shape == (6, 192)  # not one picture of three channels
    assert estimator.transform(images[:0]).shape == (0, 192)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ("cat.jpg", r"pass a list of images, such as \[X\]"),
        (b"bytes", "pass a list"),
        (io.BytesIO(b"file"), "pass a list"),
        (Image.new("RGB", (8, 8)), "pass a list"),
        (np.zeros((4, 5)), "float64 with the shape"),
        (pd.DataFrame({"path": ["a"], "label": [1]}), "2 columns; pick the one with the images"),
        (["no such file.jpg"], "no such file"),
        (np.zeros((2, 8, 8, 3)), "image 0"),
    ],
)
def test_what_is_no_list_of_images_is_said(X, message):
    with pytest.raises(ImageError, match=message):
        MAEFeatures(device="cpu").fit(X).transform(X)


def test_the_pool_is_that_of_the_weights_unless_another_is_named(photos, tmp_path):
    tiny = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu", decoder=False)
    facts = replace(tiny.facts, pooling="cls+mean")
    model = MAE(tiny.encoder, preprocess=tiny.preprocess, target=None, name="mae_vit_tiny", facts=facts).eval()
    model.save_pretrained(tmp_path)
    rows = MAEFeatures(f"local-dir:{tmp_path}", device="cpu").set_output(transform="pandas").fit_transform(photos)
    np.testing.assert_array_equal(rows.to_numpy(), model.features(photos).numpy())
    assert rows.shape[1] == 2 * model.embed_dim


def test_a_model_itself_is_refused_with_the_way_out():
    model = maezoo.create("mae_vit_tiny", device="cpu")
    with pytest.raises(ArgumentError, match="save_pretrained"):
        MAEFeatures(model).transform([])


def test_an_unknown_pool_is_refused_before_any_image_is_read():
    with pytest.raises(ArgumentError, match="pool is one of"):
        MAEFeatures(pool="max").fit(["no such file.jpg"])


def test_pickles_and_clones_are_without_the_model(photos):
    estimator = MAEFeatures(pool="mean", device="cpu")
    before = joblib_hash(estimator)
    rows = estimator.fit_transform(photos)
    assert joblib_hash(estimator) == before
    stored = pickle.dumps(estimator)
    assert len(stored) < 2000
    for copy in (pickle.loads(stored), clone(estimator)):
        assert copy.get_params() == estimator.get_params()
        np.testing.assert_array_equal(copy.transform(photos), rows)


def test_tables_keep_their_index_and_have_names(photos):
    frame = pd.DataFrame({"path": [str(path) for path in photos]}, index=range(10, 10 + len(photos)))
    estimator = MAEFeatures(pool="cls+mean", device="cpu").set_output(transform="pandas")
    found = estimator.fit_transform(frame)
    assert list(found.index) == list(frame.index)
    assert list(found.columns) == list(estimator.get_feature_names_out())
    assert found.columns[383] == "maefeatures383"
    assert isinstance(MAEFeatures(device="cpu").set_output(transform="polars").fit_transform(photos), pl.DataFrame)


def test_a_column_of_a_table_becomes_features_next_to_others(photos):
    frame = pd.DataFrame({"path": [str(path) for path in photos], "weight": np.arange(len(photos), dtype=float)})
    for column in ("path", ["path"]):
        table = ColumnTransformer([("image", MAEFeatures(device="cpu"), column), ("rest", "passthrough", ["weight"])])
        assert table.fit_transform(frame).shape == (len(photos), 193)
        assert table.get_feature_names_out()[0] == "image__maefeatures0"


def test_a_grid_search_chooses_the_pooling(photos, images, tmp_path):
    files = [*photos, *photos]
    labels = [0, 1] * (len(files) // 2)
    pipeline = make_pipeline(
        MAEFeatures(device="cpu"), StandardScaler(), LogisticRegression(max_iter=500), memory=str(tmp_path)
    )
    search = GridSearchCV(pipeline, {"maefeatures__pool": ["cls", "mean", "cls+mean"]}, cv=2)
    search.fit(files, labels)
    assert search.best_params_["maefeatures__pool"] in {"cls", "mean", "cls+mean"}
    assert search.predict(photos).shape == (len(photos),)


def test_a_folder_that_changes_is_read_again(tmp_path, images):
    first = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
    first.save_pretrained(tmp_path)
    estimator = MAEFeatures(f"local-dir:{tmp_path}", device="cpu")
    before = estimator.transform(images)
    np.testing.assert_array_equal(before, first.features(list(images)).numpy())
    maezoo.create("mae_vit_tiny", device="cpu").save_pretrained(tmp_path)
    assert not np.allclose(estimator.transform(images), before)


def test_an_engine_gives_the_same_features(images):
    plain = MAEFeatures(device="cpu").transform(images)
    fast = MAEFeatures(device="cpu", optimize="eager", batch_size=2)
    assert "OptimizedMAE" in type(fast._load()).__name__
    np.testing.assert_allclose(fast.transform(images), plain, atol=1e-5)
