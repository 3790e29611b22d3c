"""Side by side with timm and transformers on the same weights."""

from pathlib import Path

import pytest
import timm
import torch
from timm.models import VisionTransformer
from transformers import ViTMAEConfig, ViTMAEForPreTraining

from maezoo import mask_from_noise
from maezoo.checkpoints.load import load_file_into
from maezoo.checkpoints.save import save_model
from maezoo.model import VARIANTS, build_encoder, build_mae, parameter_count

PUBLISHED_VIT_B_BYTES = 447_670_680  # facebook/vit-mae-base, model.safetensors
PUBLISHED_VIT_B_TENSORS = 334


@pytest.mark.parametrize("size", [(96, 96), (64, 128)])
def test_unmasked_tokens_equal_timm_to_the_bit(size: tuple[int, int]) -> None:
    model = build_mae(VARIANTS["mae_vit_tiny"], img_size=size).eval()
    reference = timm.create_model("mae_vit_tiny", img_size=size).eval()
    reference.load_state_dict(model.encoder.state_dict())
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        assert torch.equal(model.encode_tokens(images), reference.forward_features(images))


def test_unmasked_tokens_equal_a_vision_transformer_that_timm_built() -> None:
    reference = timm.create_model("vit_base_patch16_224", num_classes=0).eval()
    assert isinstance(reference, VisionTransformer)
    model = build_mae(VARIANTS["mae_vit_base"], decoder=False, init=False).eval()
    model.encoder.load_state_dict(reference.state_dict())
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.equal(model.encode_tokens(images), reference.forward_features(images))


EPSILONS = (1e-6, 1e-12)  # the training code's, and transformers' own default


@pytest.fixture(scope="module")
def transformers_model() -> ViTMAEForPreTraining:
    """A full-size ViT-B with random weights in which every tensor counts."""
    torch.manual_seed(1)
    model = ViTMAEForPreTraining(ViTMAEConfig(layer_norm_eps=1e-6)).eval()  # the training code's epsilon
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "position" not in name and "pos_embed" not in name:
                parameter.add_(0.02 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_vit_base_from_a_file_that_transformers_saved(
    transformers_model: ViTMAEForPreTraining, tmp_path: Path, epsilon: float
) -> None:
    transformers_model.config.layer_norm_eps = epsilon
    for module in transformers_model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = epsilon
    transformers_model.save_pretrained(tmp_path)
    model = build_mae(VARIANTS["mae_vit_base"], init=False).eval()
    report = load_file_into(model, tmp_path / "model.safetensors")
    assert report.layout == "transformers"
    assert report.dropped == ()
    assert report.norm_epsilon == epsilon
    images, noise = torch.randn(2, 3, 224, 224), torch.rand(2, 196)
    with torch.no_grad():
        expected = transformers_model(images, noise=noise)
        output = model(images, mask_from_noise(noise, 0.75))
    assert torch.equal(output.mask, expected.mask.bool())
    torch.testing.assert_close(output.prediction, expected.logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(output.loss, expected.loss, rtol=1e-4, atol=1e-4)


def test_vit_base_in_the_transformers_layout_has_the_published_size(
    transformers_model: ViTMAEForPreTraining, tmp_path: Path
) -> None:
    model = build_mae(VARIANTS["mae_vit_base"])
    path = tmp_path / "model.safetensors"
    save_model(model, path, layout="transformers")
    assert path.stat().st_size == PUBLISHED_VIT_B_BYTES
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        assert len(file.keys()) == PUBLISHED_VIT_B_TENSORS


def test_transformers_reads_what_we_write(transformers_model: ViTMAEForPreTraining, tmp_path: Path) -> None:
    model = build_mae(VARIANTS["mae_vit_base"]).eval()
    transformers_model.config.save_pretrained(tmp_path)
    save_model(model, tmp_path / "model.safetensors", layout="transformers")
    again = ViTMAEForPreTraining.from_pretrained(tmp_path).eval()
    images, noise = torch.randn(1, 3, 224, 224), torch.rand(1, 196)
    with torch.no_grad():
        expected = again(images, noise=noise)
        output = model(images, mask_from_noise(noise, 0.75))
    torch.testing.assert_close(output.prediction, expected.logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "encoder", "whole"),
    [
        ("mae_vit_base", 85_798_656, 111_907_840),
        ("mae_vit_large", 303_301_632, 329_541_888),
        ("mae_vit_huge", 630_764_800, 657_074_508),
    ],
)
def test_parameter_counts_are_the_published_ones(name: str, encoder: int, whole: int) -> None:
    with torch.device("meta"):
        model = build_mae(VARIANTS[name], init=False)
        assert parameter_count(model) == whole
        assert parameter_count(build_encoder(VARIANTS[name], init=False)) == encoder
