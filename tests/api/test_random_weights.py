"""Weights that were drawn and never trained are told from all others, once for each model."""

import copy
import warnings

import pytest
import torch

import maezoo
from maezoo.errors import RandomWeightsWarning

pytestmark = pytest.mark.filterwarnings("error::maezoo.errors.RandomWeightsWarning")
IMAGES = torch.zeros(1, 3, 96, 96)
USES = {
    "features": lambda model: model.features(IMAGES),
    "encode": lambda model: model.encode(IMAGES),
    "feature_maps": lambda model: model.feature_maps(IMAGES),
    "reconstruct": lambda model: model.reconstruct(IMAGES),
    "reconstruct_all": lambda model: maezoo.reconstruct_all(model, IMAGES),
}


def drawn(**options):
    return maezoo.create("mae_vit_tiny", device="cpu", **options)


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_using_random_weights_warns_once(use):
    model = drawn()
    with pytest.warns(RandomWeightsWarning, match="mae_vit_tiny") as caught:
        use(model)
    assert caught[0].filename == __file__  # the user's line
    for each in USES.values():
        each(model)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_they_are_random_in_another_number_format_too(dtype):
    model = copy.deepcopy(drawn()).to(dtype)
    with pytest.warns(RandomWeightsWarning):
        model.features(IMAGES.to(dtype))


def test_a_random_decoder_is_told_from_a_loaded_encoder():
    model, trained = drawn(), maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
    model.encoder.load_state_dict(trained.encoder.state_dict())
    model.features(IMAGES)
    with pytest.warns(RandomWeightsWarning, match="the decoder of"):
        model.reconstruct(IMAGES)


def test_loaded_weights_are_not_random(tmp_path):
    trained = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
    trained.reconstruct(IMAGES)
    model = drawn()
    model.load_state_dict(trained.state_dict())
    model.reconstruct(IMAGES)
    saved = drawn().save_pretrained(tmp_path / "saved")
    maezoo.create(f"local-dir:{saved}", device="cpu").reconstruct(IMAGES)


def test_trained_weights_are_not_random():
    model = drawn().train()
    model.features(IMAGES)  # in training mode nothing is said
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    model(torch.rand(2, 3, 96, 96), mask_ratio=0.5).loss.backward()
    optimizer.step()
    model.eval().reconstruct(IMAGES)


def test_the_warning_can_be_switched_off():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RandomWeightsWarning)
        drawn(decoder=False).features(IMAGES)
