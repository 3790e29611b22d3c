"""For whoever has a network: the public hub, the real weights, the published numbers. `pytest -m online`."""

import io

import numpy as np
import pytest
import torch

import maezoo

pytestmark = pytest.mark.online
IMAGE = "http://images.cocodataset.org/val2017/000000039769.jpg"  # two cats; transformers' test has it as a PNG
SLICE = [[-0.0548, -1.7023, -0.9325], [0.3721, -0.5670, -0.2233], [0.8235, -1.3878, -0.3524]]


@pytest.fixture(scope="module")
def model():
    return maezoo.create("mae_vit_base.in1k_pixel", pretrained=True, device="cpu")


def test_the_file_is_the_published_one(model):
    assert maezoo.verify("mae_vit_base.in1k_pixel").results[0].status == "verified"
    assert len(model.load_report.loaded) == 254


def test_the_encoder_of_timms_repository_loads():
    assert maezoo.create("mae_vit_base.in1k_normpix", pretrained=True, device="cpu").decoder is None


def test_transformers_published_numbers_are_reproduced(model):
    from huggingface_hub import get_session
    from PIL import Image

    response = get_session().get(IMAGE)
    image = Image.open(io.BytesIO(response.content)).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (model.preprocess.mean, model.preprocess.std))
    np.random.seed(2)
    noise = torch.from_numpy(np.random.uniform(size=(1, 196)))
    mask = noise.argsort(dim=1).argsort(dim=1) >= 49
    with torch.no_grad():
        prediction = model.predict((pixels - mean) / std, mask)
    # the JPEG is not quite the PNG, and transformers' LayerNorm epsilon is 1e-12 where ours is 1e-6
    assert torch.allclose(prediction[0, :3, :3], torch.tensor(SLICE), atol=5e-2)
