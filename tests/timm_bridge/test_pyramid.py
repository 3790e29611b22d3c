"""Pyramids by timm's names: strides, weights, and the peers that build on them."""

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import transformers
from safetensors.torch import save_file
from transformers import (
    DetrConfig,
    DetrForObjectDetection,
    MaskFormerConfig,
    MaskFormerForInstanceSegmentation,
    TimmBackbone,
    TimmBackboneConfig,
)

import maezoo
from maezoo.downstream import FeaturePyramid
from maezoo.errors import ArgumentError

NAME = "mae_vit_tiny_pyramid"
transformers_5 = pytest.mark.skipif(
    transformers.__version__.startswith("4."), reason="transformers 4 wants a model's backbone in other words"
)
SIZES = [f"mae_vit_{size}_pyramid" for size in ("tiny", "small", "base", "large", "huge")]


def pyramid(**options):
    return timm.create_model(NAME, features_only=True, **options)


def train(model, loss_of):
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    for _ in range(2):
        loss = loss_of(model)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert loss.isfinite()


@pytest.mark.parametrize("name", SIZES)
def test_every_size_has_the_strides_of_a_convolutional_network(name):
    with torch.device("meta"):
        model = timm.create_model(name, features_only=True)
        maps = model(torch.zeros(1, 3, 64, 96))
    assert model.feature_info.reduction() == [4, 8, 16, 32]
    assert model.feature_info.channels() == [256] * 4
    assert [tuple(x.shape) for x in maps] == [(1, 256, 64 // s, 96 // s) for s in (4, 8, 16, 32)]


def test_the_encoders_weights_come_along_and_the_rest_is_new():
    first, second = pyramid(pretrained=True), pyramid(pretrained=True)
    known = FeaturePyramid("mae_vit_tiny", pretrained=True)
    for key, value in known.trunk.state_dict().items():
        assert torch.equal(first.model.trunk.state_dict()[key], value), key
    assert not torch.equal(first.model.levels[0][0].weight, second.model.levels[0][0].weight)
    first.model.load_state_dict(known.state_dict())
    images = torch.randn(1, 3, 64, 96)
    for found, expected in zip(first(images), known(images).values(), strict=False):
        assert torch.equal(found, expected)


def test_the_configuration_is_that_of_the_weights_at_patches_of_sixteen():
    config = timm.get_pretrained_cfg(f"{NAME}.photos_pixel")
    assert config.input_size == (3, 192, 192)
    assert timm.get_pretrained_cfg("mae_vit_huge_pyramid.in1k_normpix").input_size == (3, 256, 256)
    assert timm.get_pretrained_cfg("mae_vit_base_pyramid.in1k_normpix").license == "cc-by-nc-4.0"


@pytest.mark.parametrize("indices", [(0, 1), (3,), (-1,), 2, (1, 3)])
def test_only_the_wanted_maps_are_computed_and_kept(indices):
    images = torch.randn(1, 3, 64, 64)
    full = pyramid(pretrained=True)
    some = pyramid(pretrained=True, out_indices=indices)
    kept = {key: value for key, value in full.state_dict().items() if key in some.state_dict()}
    some.load_state_dict(kept)
    places = range(4)[-indices:] if isinstance(indices, int) else [index % 4 for index in indices]
    expected = full(images)
    assert some.feature_info.reduction() == [full.feature_info.reduction()[place] for place in places]
    for x, place in zip(some(images), places, strict=True):
        assert torch.equal(x, expected[place])
    some(images)[0].sum().backward()


@pytest.mark.parametrize("in_chans", [1, 5])
def test_other_channels_and_options_of_the_pyramid(in_chans):
    model = pyramid(pretrained=True, in_chans=in_chans, out_channels=32, window_size=2, global_blocks=(5,))
    assert [tuple(x.shape[:2]) for x in model(torch.randn(1, in_chans, 64, 96))] == [(1, 32)] * 4
    assert model.model.trunk.window_size == 2
    plain = timm.create_model("mae_vit_tiny", pretrained=True, in_chans=in_chans)
    assert torch.equal(model.model.trunk.blocks[2].mlp.fc1.weight, plain.blocks[2].mlp.fc1.weight)


@pytest.mark.parametrize("layout", ["fair", "timm", "transformers", "maezoo"])
def test_a_file_in_any_layout_fills_the_encoder(tiny_file, tiny_state, layout):
    path = tiny_file(layout, decoder=layout != "timm")
    model = pyramid(pretrained=True, pretrained_cfg_overlay={"file": str(path)})
    assert torch.equal(model.model.trunk.blocks[1].attn.qkv.weight, tiny_state["encoder.blocks.1.attn.qkv.weight"])


def test_a_trained_pyramid_is_read_back_from_its_own_file(tmp_path):
    trained = timm.create_model(NAME)
    save_file(trained.state_dict(), tmp_path / "pyramid.safetensors")
    found = pyramid(pretrained=True, pretrained_cfg_overlay={"file": str(tmp_path / "pyramid.safetensors")})
    images = torch.randn(1, 3, 32, 64)
    for x, y in zip(found(images), trained(images), strict=True):
        assert torch.equal(x, y)


@pytest.mark.parametrize(("option", "value"), [("num_classes", 3), ("output_stride", 16)])
def test_what_a_pyramid_does_not_have_is_refused(option, value):
    with pytest.raises(ArgumentError):
        timm.create_model(NAME, **{option: value})


@pytest.mark.parametrize("decoder", [smp.UPerNet, smp.FPN, smp.Unet, smp.Segformer])
@pytest.mark.parametrize("size", [(96, 96), (64, 96)])
def test_decoders_of_segmentation_models_train_on_it(decoder, size):
    model = decoder(f"tu-{NAME}", encoder_weights=True, classes=4)
    images, target = torch.randn(2, 3, *size), torch.randint(4, (2, *size))
    before = model.encoder.model.model.trunk.blocks[0].mlp.fc1.weight.clone()
    assert torch.equal(before, timm.create_model("mae_vit_tiny", pretrained=True).blocks[0].mlp.fc1.weight)
    train(model, lambda model: torch.nn.functional.cross_entropy(model(images), target))
    assert not torch.equal(model.encoder.model.model.trunk.blocks[0].mlp.fc1.weight, before)


def test_dpt_takes_the_plain_name():
    model = smp.DPT("tu-mae_vit_tiny", encoder_weights=True, dynamic_img_size=True, classes=2)
    assert model(torch.randn(1, 3, 64, 96)).shape == (1, 2, 64, 96)


SMALL = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "num_queries": 5,
}


def detr_config():
    return DetrConfig(backbone_config=TimmBackboneConfig(backbone=NAME, out_indices=[3]), num_labels=3, **SMALL)


def test_transformers_backbone_has_the_maps_and_the_weights():
    backbone = TimmBackbone.from_pretrained(NAME, out_indices=[0, 1, 2, 3])
    assert backbone.channels == [256] * 4
    found = backbone(torch.randn(1, 3, 64, 96)).feature_maps
    assert [tuple(x.shape[2:]) for x in found] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    plain = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu").encoder
    assert torch.equal(backbone._backbone.model.trunk.blocks[3].mlp.fc1.weight, plain.blocks[3].mlp.fc1.weight)


@transformers_5
def test_detr_trains_on_it():
    images = torch.randn(2, 3, 64, 96)
    labels = [{"class_labels": torch.tensor([1]), "boxes": torch.tensor([[0.5, 0.5, 0.2, 0.2]])}] * 2
    train(DetrForObjectDetection(detr_config()), lambda model: model(images, labels=labels).loss)


@transformers_5
def test_maskformer_trains_on_it():
    maps = TimmBackboneConfig(backbone=NAME, out_indices=[0, 1, 2, 3])
    sizes = {"fpn_feature_size": 32, "mask_feature_size": 32}
    config = MaskFormerConfig(backbone_config=maps, decoder_config=detr_config(), num_labels=3, **sizes)
    images = torch.randn(2, 3, 64, 96)
    target = {"mask_labels": [torch.ones(1, 64, 96)] * 2, "class_labels": [torch.tensor([1])] * 2}
    train(MaskFormerForInstanceSegmentation(config), lambda model: model(images, **target).loss)
