"""A linear probe that is kept: its coefficients, its file, and what it is applied to."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_tensors

import maezoo
from maezoo.errors import DataError
from maezoo.evaluation import LabelledFeatures, Probe, linear

RNG = np.random.default_rng(0)
LABELS = np.array(["ape", "bee", "cat"])[np.arange(60) % 3]
X, OTHER_X = (np.eye(3)[np.arange(60) % 3] @ RNG.normal(size=(3, 8)) + RNG.normal(size=(60, 8)) for _ in range(2))
ABOUT = {"model": "mae_vit_tiny.photos_pixel", "pool": "mean", "source": "/home/somebody/photos"}


@pytest.mark.parametrize("count", [2, 3])
def test_it_is_scikit_learns_on_standardised_features(count):
    from sklearn.linear_model import LogisticRegression

    rows = np.isin(LABELS, ["ape", "bee", "cat"][:count])
    x, y, queries = X[rows].astype(np.float32), LABELS[rows], OTHER_X.astype(np.float32)
    probe = Probe.fit((x, y), strength=0.5)
    theirs = LogisticRegression(C=0.5, max_iter=1000).fit((x - probe.mean) / probe.scale, y)
    found = probe.predict(queries)
    expected = (queries - probe.mean) / probe.scale
    assert found.predicted.tolist() == theirs.predict(expected).tolist()
    assert np.allclose(found.probabilities, theirs.predict_proba(expected), atol=1e-5)
    assert np.allclose(probe.scale, x.std(axis=0), atol=1e-4)
    assert probe.coef.shape == (count, 8)


@pytest.mark.parametrize("labels", [LABELS, np.arange(60) % 3, np.arange(60) % 2 == 0])
def test_a_file_brings_it_back_to_the_bit(tmp_path, labels):
    probe = Probe.fit(LabelledFeatures.of(X, labels, about=ABOUT))
    probe.save(tmp_path / "probe.safetensors")
    again = Probe.load(tmp_path / "probe.safetensors")
    assert again.predict(OTHER_X).probabilities.tolist() == probe.predict(OTHER_X).probabilities.tolist()
    assert again.predict(OTHER_X).predicted.tolist() == probe.predict(OTHER_X).predicted.tolist()
    assert (again.settings, again.about) == (probe.settings, probe.about)
    assert again.classes.dtype.kind == labels.dtype.kind
    assert b"somebody" not in (tmp_path / "probe.safetensors").read_bytes()
    assert repr(again) == repr(probe)
    assert "held-out fifth" in again._repr_html_()


def test_its_score_is_that_of_linear():
    assert Probe.fit((X, LABELS)).score((OTHER_X, LABELS)).correct == linear((X, LABELS), (OTHER_X, LABELS)).correct


@pytest.mark.parametrize(
    ("features", "says"),
    [
        (OTHER_X[:, :5], r"\(n, 8\) of mae_vit_tiny.photos_pixel, mean; got \(60, 5\)"),
        (OTHER_X[0], r"\(n, 8\)"),
        (np.full((2, 8), np.nan), "NaN"),
        (LabelledFeatures.of(OTHER_X, LABELS, about={"model": "mae_vit_base.in1k_pixel"}), "different model"),
        (LabelledFeatures.of(OTHER_X, LABELS, about={"pool": "cls"}), "different pool: 'mean' and 'cls'"),
    ],
)
def test_features_of_another_kind_are_refused(features, says):
    with pytest.raises(DataError, match=says):
        Probe.fit(LabelledFeatures.of(X, LABELS, about=ABOUT)).predict(features)


@pytest.fixture(scope="module")
def model():
    return maezoo.create("mae_vit_tiny", pretrained=True, device="cpu", decoder=False)


@pytest.fixture(scope="module")
def fitted(model, photos):
    """A probe that tells photographs from noise, and its training features."""
    noise = torch.randint(0, 256, (len(photos), 3, 96, 96), dtype=torch.uint8)
    vectors = torch.cat([model.features(photos, pool="mean"), model.features(noise, pool="mean")])
    labels = ["photograph"] * len(photos) + ["noise"] * len(photos)
    return Probe.fit(LabelledFeatures.of(vectors, labels, about={"model": model.name, "pool": "mean"}))


def test_images_are_embedded_as_those_of_the_training_were(fitted, model, photos):
    expected = fitted.predict(model.features(photos, pool="mean"))
    assert set(expected.predicted) == {"photograph"}
    for found in (fitted.predict_images(photos), fitted.predict_images(photos, model)):
        assert np.allclose(found.probabilities, expected.probabilities, atol=1e-4)


def test_a_score_splits_exactly_into_patches(fitted, model, photos):
    """With mean pooling, as the class documents its attributes."""
    tokens = model.encode(photos[0])[0, 1:].numpy()  # (N, D)
    share = ((tokens - fitted.mean) / fitted.scale) @ fitted.coef.T / len(tokens)  # (N, K)
    scores = share.sum(axis=0) + fitted.intercept
    assert np.allclose(fitted.decision_function(tokens.mean(axis=0, keepdims=True)), scores, atol=1e-4)
    probabilities = fitted.predict(model.features(photos[:1], pool="mean")).probabilities[0]
    assert np.allclose(np.exp(scores) / np.exp(scores).sum(), probabilities, atol=1e-4)


def test_features_that_were_stored_with_length_one_are_so_for_images_too(model, photos):
    vectors = model.features(photos, pool="mean")
    stored = torch.nn.functional.normalize(vectors, dim=1)
    about = {"model": model.name, "pool": "mean", "normalize": True}
    probe = Probe.fit(LabelledFeatures.of(stored, np.arange(len(photos)) % 2, about=about), strength=1.0)
    expected = probe.predict(stored).probabilities
    assert np.allclose(probe.predict_images(photos, model).probabilities, expected, atol=1e-4)
    assert not np.allclose(probe.predict(vectors).probabilities, expected, atol=1e-2)


def test_images_through_another_model_are_refused(fitted, photos):
    other = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu", decoder=False)
    other.name = "mae_vit_tiny.mine"
    with pytest.raises(DataError, match=r"different model: 'mae_vit_tiny[^ ]*' and 'mae_vit_tiny[^ ]mine'"):
        fitted.predict_images(photos, other)
    with pytest.raises(DataError, match=r"model and pooling are not known; call probe\.predict"):
        Probe.fit((X, LABELS)).predict_images(photos)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"coef": np.ones((3, 7), np.float32)}, "do not fit"),
        ({"coef": np.full((3, 8), np.nan, np.float32)}, "do not fit"),
        ({"scale": np.zeros(8, np.float32)}, "do not fit"),
        ({"mean": np.zeros(8, np.float64)}, "do not fit"),
        ({"extra": np.zeros(8, np.float32)}, "no probe"),
        ({"classes": '["ape", "ape", "cat"]'}, "do not fit"),
        ({"classes": '["ape", "bee"]'}, "do not fit"),
        ({"classes": "{"}, "cannot be read"),
        ({"about": "[]"}, "do not fit"),
        ({"format": "other"}, "no probe"),
    ],
)
def test_a_file_that_is_no_probe_is_refused(tmp_path, change, says):
    Probe.fit((X, LABELS), strength=1.0).save(tmp_path / "good.safetensors")
    arrays = load_file(tmp_path / "good.safetensors")
    words = {"format": "maezoo probe 1", "classes": json.dumps(["ape", "bee", "cat"]), "about": "{}", "settings": "{}"}
    for name, value in change.items():
        (words if isinstance(value, str) else arrays)[name] = value
    save_file(arrays, tmp_path / "bad.safetensors", words)
    with pytest.raises(DataError, match=says):
        Probe.load(tmp_path / "bad.safetensors")


def test_a_number_format_that_numpy_lacks_is_refused(tmp_path):
    Probe.fit((X, LABELS), strength=1.0).save(tmp_path / "good.safetensors")
    with safe_open(tmp_path / "good.safetensors", framework="pt") as file:
        tensors = {name: file.get_tensor(name).bfloat16() for name in file.keys()}  # noqa: SIM118 - no mapping
        save_tensors(tensors, tmp_path / "bad.safetensors", file.metadata())
    # NumPy knows the format where ml_dtypes was imported: then the arrays are of another kind than a probe's.
    with pytest.raises(DataError, match=r"cannot be read as a probe|is no probe"):
        Probe.load(tmp_path / "bad.safetensors")


def test_ids_are_one_for_each_row():
    with pytest.raises(DataError, match="one for each of 60 rows"):
        Probe.fit((X, LABELS), strength=1.0).predict(X, ids=["one"])


def test_what_cannot_be_read_or_written_is_named(tmp_path):
    (tmp_path / "text.safetensors").write_text("no")
    for name in ("missing.safetensors", "text.safetensors"):
        with pytest.raises(DataError, match=name):
            Probe.load(tmp_path / name)
    probe = Probe.fit((X, LABELS), strength=1.0)
    with pytest.raises(ValueError, match=r"name it probe\.safetensors"):
        probe.save(tmp_path / "probe.pkl")
    with pytest.raises(DataError, match="text or whole numbers"):
        Probe.fit((X, LABELS.astype(bytes)), strength=1.0).save(tmp_path / "probe.safetensors")


def test_a_model_of_another_size_is_made_as_the_record_says(model, photos):
    from dataclasses import replace

    wide = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu", decoder=False, img_size=(64, 128))
    wide.preprocess = replace(wide.preprocess, resize="squash")
    about = {"model": wide.name, "pool": "cls", "preprocess": wide.preprocess.to_dict()}
    labels = np.arange(len(photos)) % 2
    probe = Probe.fit(LabelledFeatures.of(wide.features(photos), labels, about=about), strength=1.0)
    expected = probe.predict(wide.features(photos)).probabilities
    assert np.allclose(probe.predict_images(photos).probabilities, expected, atol=1e-4)
    with pytest.raises(
        DataError, match=r"different preprocess\.size: \[64, 128\] and \[96, 96\]; preprocess\.resize"
    ) as found:
        probe.predict_images(photos, model)
    assert "interpolation" not in str(found.value)  # what is equal is left out
