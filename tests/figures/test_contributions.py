import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from torch import nn

import maezoo
from maezoo.errors import ArgumentError, DataError
from maezoo.evaluation import LabelledFeatures, Probe
from maezoo.figures import patch_contributions


def features_of(model, pool, seed=0):
    """Features and labels of 30 pictures of noise, in three brightnesses."""
    labels = np.arange(30) % 3
    images = (
        torch.rand(30, 3, 96, 96, generator=torch.Generator().manual_seed(seed))
        + torch.from_numpy(labels)[:, None, None, None].float()
    )
    return model.features(images, pool=pool).numpy(), labels


@pytest.fixture(scope="module")
def mean(model):
    return features_of(model, "mean")


@pytest.mark.parametrize(
    "probe",
    [
        LogisticRegression(),
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(StandardScaler(with_mean=False), PCA(5), RidgeClassifier()),
        LinearRegression(),
    ],
    ids=lambda probe: type(probe).__name__,
)
def test_parts_and_intercept_sum_to_the_logit(model, four, mean, probe):
    probe.fit(*mean)
    features = model.features(four, pool="mean").numpy()
    expected = probe.predict(features) if isinstance(probe, LinearRegression) else probe.decision_function(features)
    parts = patch_contributions(model, four, probe, batch_size=3)
    assert parts.logits.numpy() == pytest.approx(expected.reshape(4, -1), rel=1e-4, abs=1e-3)
    assert parts.patches.shape[2:] == (12, 12)
    assert not parts.class_token.any()
    assert "\n" not in repr(parts)


def test_a_part_is_the_tokens_share_of_the_mean(model, four, mean):
    probe = LogisticRegression().fit(*mean)
    tokens = model.encode(four[:1])[0, 1:].double()
    expected = tokens @ torch.from_numpy(probe.coef_).double().T / 144
    found = patch_contributions(model, four[:1], probe)
    torch.testing.assert_close(found.patches[0].flatten(1).T, expected, atol=1e-6, rtol=1e-4)
    assert found.classes == (0, 1, 2)


def test_two_classes_have_one_logit_for_the_second(model, four, mean):
    vectors, labels = mean
    probe = LogisticRegression().fit(vectors[labels < 2], np.array(["cat", "dog"])[labels[labels < 2]])
    found = patch_contributions(model, four, probe)
    assert found.classes == ("dog",)
    assert found.patches.shape == (4, 1, 12, 12)


def test_the_class_token_has_a_part_of_its_own(model, four):
    probe = LogisticRegression().fit(*features_of(model, "cls+mean"))
    parts = patch_contributions(model, four, probe, pool="cls+mean")
    expected = probe.decision_function(model.features(four, pool="cls+mean").numpy())
    assert parts.logits.numpy() == pytest.approx(expected, rel=1e-4, abs=1e-3)
    assert parts.class_token.any()


def test_modules_and_plain_numbers_are_probes_too(wide, four):
    head = nn.Sequential(nn.BatchNorm1d(192, affine=False), nn.Linear(192, 2))
    with torch.no_grad():
        head(torch.randn(50, 192))  # in training mode, which is left alone
    parts = patch_contributions(wide, four[:2], head)
    assert head.training
    expected = head.eval()(wide.features(four[:2], pool="mean")).detach().double()
    torch.testing.assert_close(parts.logits, expected, atol=1e-4, rtol=1e-4)
    assert parts.patches.shape == (2, 2, 8, 14)
    coef = torch.randn(192)
    one = patch_contributions(wide, four[:2], (coef, 0.5)).logits
    torch.testing.assert_close(
        one[:, 0], (wide.features(four[:2], pool="mean") @ coef + 0.5).double(), atol=1e-3, rtol=0
    )


def test_what_cannot_be_split_is_refused(model, four, mean):
    vectors, labels = mean
    bent = make_pipeline(Normalizer(), LogisticRegression()).fit(vectors, labels)
    with pytest.raises(ArgumentError, match="patch_occlusion"):
        patch_contributions(model, four, bent)
    with pytest.raises(ArgumentError, match=r"not linear|scikit-learn"):
        patch_contributions(model, four, nn.Sequential(nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, 2)))
    with pytest.raises(ArgumentError, match="width 384"):
        patch_contributions(model, four, LogisticRegression().fit(vectors, labels), pool="cls+mean")
    with pytest.raises(ArgumentError, match=r"\(K, 192\)"):
        patch_contributions(model, four, (np.zeros((3, 5)), np.zeros(3)))
    with pytest.raises(ArgumentError, match=r"'mean', 'cls\+mean'"):
        patch_contributions(model, four, bent, pool="cls")
    with pytest.raises(ArgumentError, match="a fitted estimator"):
        patch_contributions(model, four, "probe")
    with pytest.raises(ArgumentError, match="decision_function"):
        patch_contributions(model, four, MLPClassifier())
    with pytest.raises(ArgumentError, match="not fitted"):
        patch_contributions(model, four, LogisticRegression())


def test_a_probe_with_a_record_is_split_only_for_the_features_of_its_record(model, four, mean):
    def probe(**record):
        about = {"model": model.name, "pool": "mean", "preprocess": model.preprocess.to_dict(), **record}
        return Probe.fit(LabelledFeatures.of(*mean, about=about), strength=0.1)

    parts = patch_contributions(model, four, probe())
    expected = probe().decision_function(model.features(four, pool="mean").numpy())
    assert parts.logits.numpy() == pytest.approx(expected, abs=1e-4)
    with pytest.raises(ArgumentError, match="fitted on features with pool='cls'; the parts are those of pool='mean'"):
        patch_contributions(model, four, probe(pool="cls"))
    with pytest.raises(ArgumentError, match="'mean', normalised"):
        patch_contributions(model, four, probe(normalize=True))
    windowed = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu", window=(0, 4095))
    with pytest.raises(DataError, match=r"preprocess\.window"):
        patch_contributions(windowed, four, probe())
