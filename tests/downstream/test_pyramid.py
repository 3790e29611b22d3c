"""The feature pyramid: against the published layers, at many sizes, in the detectors that take it."""

from collections import OrderedDict
from dataclasses import replace

import pytest
import timm
import torch
from PIL import Image
from timm.optim import create_optimizer_v2
from torch import nn
from torch.nn import functional as F
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.transforms.functional import to_tensor

import maezoo
from maezoo.downstream import FeaturePyramid
from maezoo.errors import ArgumentError, FrozenModelError, LayerError, SizeError, UnknownModelError
from maezoo.model import Facts, build_mae, find_variant

STRIDES = {"0": 4, "1": 8, "2": 16, "3": 32, "pool": 64}


@pytest.fixture(scope="module")
def mae():
    return maezoo.create("mae_vit_tiny", pretrained=True, device="cpu", decoder=False)


def channel_norm(x, norm):
    """LayerNorm over the channels of (B, C, H, W), written out."""
    mean = x.mean(dim=1, keepdim=True)
    variance = (x - mean).square().mean(dim=1, keepdim=True)
    return (x - mean) / (variance + 1e-6).sqrt() * norm.weight[:, None, None] + norm.bias[:, None, None]


def published_pyramid(last, pyramid):
    """ViTDet's pyramid with a pyramid's weights, its layers taken by kind and in order (Li et al. 2022, §3)."""
    maps = OrderedDict()
    for name, level in zip("0123", pyramid.levels, strict=True):
        up = [part for part in level.modules() if isinstance(part, nn.ConvTranspose2d)]
        norms = [part for part in level.modules() if isinstance(part, nn.LayerNorm)]
        one, three = (part for part in level.modules() if isinstance(part, nn.Conv2d))
        assert (one.bias, three.bias) == (None, None)
        x = last if name != "3" else F.max_pool2d(last, 2)
        for index, deconvolution in enumerate(up):
            if index:
                x = F.gelu(channel_norm(x, norms.pop(0)))
            x = F.conv_transpose2d(x, deconvolution.weight, deconvolution.bias, stride=2)
        x = channel_norm(F.conv2d(x, one.weight), norms.pop(0))
        maps[name] = channel_norm(F.conv2d(x, three.weight, padding=1), norms.pop(0))
    maps["pool"] = maps["3"][:, :, ::2, ::2]
    return maps


@pytest.mark.parametrize("size", [(224, 224), (256, 320), (96, 64)])
def test_the_maps_are_those_of_the_published_layers(mae, size):
    pyramid = FeaturePyramid(mae, out_channels=48)
    for norm in (part for part in pyramid.levels.modules() if isinstance(part, nn.LayerNorm)):
        nn.init.normal_(norm.weight, 1, 0.3)
        nn.init.normal_(norm.bias, 0, 0.3)
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        found, last = pyramid(images), pyramid.trunk(images)
        expected = published_pyramid(last, pyramid)
    assert list(found) == ["0", "1", "2", "3", "pool"]
    for name, x in found.items():
        torch.testing.assert_close(x, expected[name], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [(224, 224), (256, 320), (512, 512), (32, 32)])
def test_shapes_and_gradients_at_every_size(mae, size):
    encoder = timm.create_model("mae_vit_tiny", pretrained=True)
    pyramid = FeaturePyramid(encoder, out_channels=16)
    maps = pyramid(torch.randn(1, 3, *size))
    for name, x in maps.items():
        assert x.shape == (1, 16, *(-(-side // STRIDES[name]) for side in size))
    sum(x.square().mean() for x in maps.values()).backward()
    for name, parameter in pyramid.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_the_last_map_is_the_encoders_without_the_final_norm():
    encoder = timm.create_model("mae_vit_small").eval()
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        (last,) = encoder.forward_intermediates(images, indices=1, norm=False, intermediates_only=True)
        assert torch.equal(FeaturePyramid(encoder).trunk(images), last)


@pytest.mark.parametrize("resampling", ["antialias", "bicubic", "aligned"])
def test_positions_are_resized_as_the_weights_want_it(resampling):
    facts = Facts(positions="learned", resampling=resampling)
    model = build_mae(replace(find_variant("mae_vit_small"), depth=2), facts=facts).eval()
    nn.init.normal_(model.encoder.pos_embed)
    images = torch.randn(1, 3, 160, 256)
    with torch.no_grad():
        (tokens,) = model.block_tokens(images, (1,), norm=False)
        last = FeaturePyramid(model).trunk(images)
    torch.testing.assert_close(last.flatten(2).transpose(1, 2), tokens[:, 1:])


def test_patches_of_eight_pixels_see_the_same_in_an_image_twice_as_large(mae, photos):
    larger = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu", img_size=192)
    with torch.no_grad():
        (own,) = mae.feature_maps(photos, norm=False)
        resized = FeaturePyramid(mae).trunk(larger.prepare(photos))
    assert own.shape == resized.shape
    assert F.cosine_similarity(own, resized, dim=1).mean() > 0.97


def test_patches_of_fourteen_pixels_are_resized_to_sixteen():
    variant = maezoo.model.Variant("small_huge", 28, 14, 32, 2, 2, 0, 0, 0)
    pyramid = FeaturePyramid(maezoo.model.build_encoder(variant), out_channels=8)
    assert pyramid.trunk.patch_embed.proj.weight.shape == (32, 3, 16, 16)
    assert [tuple(x.shape[2:]) for x in pyramid(torch.randn(1, 3, 64, 96)).values()][2] == (4, 6)


def test_parameters_are_shared_with_the_encoder():
    encoder = timm.create_model("mae_vit_tiny", pretrained=True)
    pyramid = FeaturePyramid(encoder)
    pyramid(torch.randn(1, 3, 64, 64))["2"].sum().backward()
    assert encoder.blocks[0].mlp.fc1.weight.grad is not None
    assert encoder.patch_embed.proj.weight.shape[-1] == 8  # the given encoder keeps its own


def test_a_name_an_mae_and_a_timm_encoder_give_the_same_map(mae):
    images = torch.randn(1, 3, 64, 96)
    named = FeaturePyramid("mae_vit_tiny", pretrained=True)
    assert all(parameter.requires_grad for parameter in named.parameters())
    encoder = timm.create_model("mae_vit_tiny", pretrained=True)
    with torch.no_grad():
        for other in (mae, encoder):
            assert torch.equal(FeaturePyramid(other).trunk(images), named.trunk(images))


def test_checkpointing_changes_no_gradient(mae):
    pyramid, images = FeaturePyramid(mae, out_channels=8, window_size=3), torch.randn(1, 3, 64, 128)
    gradients = []
    for enable in (False, True):
        pyramid.set_grad_checkpointing(enable)
        pyramid.zero_grad()
        pyramid(images)["0"].square().sum().backward()
        gradients.append(pyramid.trunk.blocks[0].attn.qkv.weight.grad.clone())
    torch.testing.assert_close(*gradients)


def test_layer_decay_orders_the_blocks_and_puts_the_pyramid_on_top(mae):
    pyramid = FeaturePyramid(mae)
    optimizer = create_optimizer_v2(pyramid, "adamw", lr=1e-3, weight_decay=0.1, layer_decay=0.7)
    names = {id(parameter): name for name, parameter in pyramid.named_parameters()}
    groups = [(group, names[id(each)]) for group in optimizer.param_groups for each in group["params"]]
    scale = {name: group["lr_scale"] for group, name in groups}
    assert scale["trunk.blocks.4.attn.qkv.weight"] == pytest.approx(0.7 * scale["trunk.blocks.5.attn.qkv.weight"])
    assert scale["trunk.patch_embed.proj.weight"] == pytest.approx(0.7 * scale["trunk.blocks.0.attn.qkv.weight"])
    assert scale["levels.0.0.weight"] == 1.0
    assert {group["weight_decay"] for group, name in groups if name.endswith(("cls_token", "bias"))} == {0.0}


@pytest.mark.parametrize("kind", [FasterRCNN, MaskRCNN])
def test_torchvisions_detectors_take_it_and_train(kind, photos):
    small = {"rpn_pre_nms_top_n_train": 50, "rpn_post_nms_top_n_train": 20, "box_batch_size_per_image": 16}
    small |= {"rpn_pre_nms_top_n_test": 50, "rpn_post_nms_top_n_test": 20, "min_size": 96, "max_size": 160}
    backbone = FeaturePyramid("mae_vit_tiny", pretrained=True, out_channels=32)
    detector = kind(backbone, num_classes=3, **small)
    images = [to_tensor(Image.open(path).convert("RGB")) for path in photos[:2]]
    targets = []
    for image in images:
        masks = torch.zeros(1, *image.shape[1:], dtype=torch.uint8)
        masks[0, 10:60, 10:50] = 1
        targets.append({"boxes": torch.tensor([[10.0, 10.0, 50.0, 60.0]]), "labels": torch.tensor([2]), "masks": masks})
    optimizer = torch.optim.SGD(detector.parameters(), lr=1e-4)
    before = backbone.trunk.blocks[0].mlp.fc1.weight.clone()
    for _ in range(2):
        loss = sum(detector(images, targets).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert loss.isfinite()
    assert not torch.equal(backbone.trunk.blocks[0].mlp.fc1.weight, before)
    found = detector.eval()(images)
    assert {"boxes", "labels", "scores"} <= set(found[0])


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"encoder": "mae_vit_tinny"}, UnknownModelError, "mae_vit_tiny"),
        ({"encoder": nn.Linear(2, 2)}, ArgumentError, "a timm VisionTransformer or a name; got Linear"),
        ({"out_channels": 0}, ArgumentError, "from 1 to 65,536; got 0"),
        ({"window_size": 0}, ArgumentError, "or None, at least 1; got 0"),
        ({"window_size": 2.5}, ArgumentError, r"got 2\.5"),
        ({"global_blocks": (1,)}, ArgumentError, "pass window_size="),
        ({"window_size": 4, "global_blocks": (6,)}, LayerError, "blocks 0 to 5"),
    ],
)
def test_what_is_no_encoder_or_no_number_is_refused(arguments, kind, message):
    with pytest.raises(kind, match=message):
        FeaturePyramid(**({"encoder": "mae_vit_tiny"} | arguments))


def test_an_encoder_that_cannot_be_filled_or_trained_is_refused(mae):
    with pytest.raises(ArgumentError, match="is for a name"):
        FeaturePyramid(mae, pretrained=True)
    with pytest.raises(FrozenModelError, match="the model that it was made from"):
        FeaturePyramid(mae.optimize(engine="eager", batch_sizes=(1,)))
    with pytest.raises(ArgumentError, match="one class token"):
        FeaturePyramid(timm.models.VisionTransformer(img_size=32, embed_dim=8, num_heads=1, depth=1, reg_tokens=2))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 60, 70), "nearest valid size is 64x64"),
        ((1, 3, 48, 96), "multiples of 32"),
        ((1, 1, 64, 64), r"\(B, 3, H, W\); got \(1, 1, 64, 64\)"),
        ((3, 64, 64), r"\(B, 3, H, W\)"),
    ],
)
def test_sizes_that_the_strides_do_not_divide_are_refused(mae, shape, message):
    with pytest.raises(SizeError, match=message):
        FeaturePyramid(mae)(torch.zeros(shape))
