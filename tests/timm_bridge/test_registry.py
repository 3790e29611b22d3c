"""Our encoders in timm's registry."""

import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import timm
import torch
from timm.models import VisionTransformer

import maezoo
from maezoo.checkpoints.convert import convert
from maezoo.manifest.entries import load_manifest
from maezoo.timm_bridge.registry import register
from maezoo.vocabulary import Layout

NAMES = ["mae_vit_base", "mae_vit_huge", "mae_vit_large", "mae_vit_small", "mae_vit_tiny"]
ALL_NAMES = sorted([*NAMES, *(f"{name}_pyramid" for name in NAMES)])


def test_names_and_tags_are_registered() -> None:
    assert timm.list_models("mae_*") == ALL_NAMES
    assert set(timm.list_pretrained("mae_vit_*", exclude_filters="*_pyramid.*")) <= set(maezoo.list_pretrained())
    for name in ALL_NAMES:
        assert timm.is_model(name)
    for name in load_manifest().defaults:
        for each in (name, f"{name}_pyramid") if name in NAMES else (name,):
            assert f"{name}.{timm.get_pretrained_cfg(each).tag}" == maezoo.info(name).name
    assert not timm.list_models("pixio_*_pyramid"), "a pyramid takes one class token"
    config = timm.get_pretrained_cfg("mae_vit_large.in1k_normpix")
    assert (config.license, config.input_size, config.crop_pct) == ("cc-by-nc-4.0", (3, 224, 224), 0.9)
    assert timm.get_pretrained_cfg("mae_vit_base.in1k_pixel").crop_mode == "squash"


def test_registering_again_changes_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        register()
    assert timm.list_models("mae_*") == ALL_NAMES


@pytest.mark.parametrize(
    "program",
    [
        "import maezoo, timm; assert timm.is_model('mae_vit_tiny')",
        "import timm, maezoo; assert timm.is_model('mae_vit_tiny')",
        "import maezoo; from timm.models import is_model; assert is_model('mae_vit_tiny')",
        "import maezoo.model, timm; assert timm.is_model('mae_vit_tiny')",
        "from maezoo.model import Decoder; import timm; assert timm.is_model('mae_vit_tiny')",
        "import maezoo, importlib.util; importlib.util.find_spec('timm'); import timm; timm.list_models('mae_*')[3]",
        "import timm, maezoo, sys; [sys.modules.pop(n) for n in list(sys.modules) if n.split('.')[0] == 'timm'];"
        "import timm; assert len(timm.list_models('mae_*')) == 10;"
        "model = timm.create_model('mae_vit_tiny', pretrained=True, num_classes=2);"
        "assert isinstance(model, timm.models.VisionTransformer)",
        "import maezoo, pkgutil; assert b'__version__' in pkgutil.get_data('timm', 'version.py')",
        "import sys; sys.modules['IPython'] = None; import maezoo",
        "import maezoo, importlib, timm; importlib.reload(timm); assert timm.is_model('mae_vit_tiny')",
        "import maezoo, sys; assert 'torch' not in sys.modules and 'timm' not in sys.modules",
        "import maezoo.cli, sys; assert 'torch' not in sys.modules",
    ],
)
def test_any_order_of_imports(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_pretrained_encoder_is_the_autoencoders() -> None:
    encoder = timm.create_model("mae_vit_tiny", pretrained=True).eval()
    assert type(encoder) is VisionTransformer
    model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        assert torch.equal(encoder.forward_features(images), model.encode(images))
        assert torch.equal(encoder(images), model.features(images))
    assert encoder.pos_embed.requires_grad
    assert not model.pos_embed.requires_grad


def test_average_pooling_keeps_the_trained_norm() -> None:
    model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
    images = torch.randn(2, 3, 96, 96)
    for num_classes in (0, 7):
        encoder = timm.create_model("mae_vit_tiny", pretrained=True, global_pool="avg", num_classes=num_classes).eval()
        assert torch.equal(encoder.norm.weight, model.encoder.norm.weight)
        with torch.no_grad():
            pooled = encoder.forward_head(encoder.forward_features(images), pre_logits=True)
        torch.testing.assert_close(pooled, model.features(images, pool="mean"))


@pytest.mark.parametrize(
    ("arguments", "size", "channels"),
    [
        ({"num_classes": 5}, (96, 96), 3),
        ({"in_chans": 1}, (96, 96), 1),
        ({"in_chans": 6}, (96, 96), 6),
        ({"img_size": (64, 128)}, (64, 128), 3),
        ({"dynamic_img_size": True}, (160, 96), 3),
        ({"drop_path_rate": 0.1, "num_classes": 3}, (96, 96), 3),
    ],
)
def test_timms_arguments(arguments: dict[str, object], size: tuple[int, int], channels: int) -> None:
    encoder = timm.create_model("mae_vit_tiny", pretrained=True, **arguments)
    output = encoder(torch.randn(2, channels, *size))
    assert output.shape == (2, arguments.get("num_classes") or 192)
    output.sum().backward()


@pytest.mark.parametrize("pool", ["map", "prr", "max", ""])
@pytest.mark.parametrize("num_classes", [0, 4])
def test_every_pooling_takes_pretrained_weights(pool: str, num_classes: int) -> None:
    encoder = timm.create_model("mae_vit_tiny", pretrained=True, global_pool=pool, num_classes=num_classes).eval()
    plain = timm.create_model("mae_vit_tiny", pretrained=True).eval()
    images = torch.randn(1, 3, 96, 96)
    assert torch.equal(encoder.forward_features(images), plain.forward_features(images))
    assert encoder(images).isfinite().all()


@pytest.mark.parametrize("layout", ["maezoo", "fair", "transformers", "timm"])
def test_checkpoint_path_takes_files_in_any_layout(layout: Layout, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    convert(maezoo.fetch("mae_vit_tiny"), path, to=layout, encoder_only=layout == "timm")
    plain = timm.create_model("mae_vit_tiny", pretrained=True).eval()
    images = torch.randn(1, 3, 96, 96)
    encoder = timm.create_model("mae_vit_tiny", checkpoint_path=path).eval()
    assert torch.equal(encoder(images), plain(images))
    if layout != "timm":
        classifier = timm.create_model("mae_vit_tiny", checkpoint_path=path, num_classes=3, img_size=(64, 128))
        assert classifier(torch.randn(1, 3, 64, 128)).shape == (1, 3)
        classifier.load_state_dict(classifier.state_dict())
    pyramid = timm.create_model("mae_vit_tiny", features_only=True)
    pyramid.load_state_dict(pyramid.state_dict())


def test_features_only_and_intermediates() -> None:
    backbone = timm.create_model("mae_vit_tiny", pretrained=True, features_only=True, out_indices=(1, 3, 5)).eval()
    images = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        maps = backbone(images)
    assert [tuple(x.shape) for x in maps] == [(1, 192, 12, 12)] * 3
    assert backbone.feature_info.reduction() == [8, 8, 8]
    model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
    ours = model.feature_maps(images, layers=(1, 3, 5), norm=False)
    for theirs, mine in zip(maps, ours, strict=True):
        torch.testing.assert_close(theirs, mine)


def test_other_timm_tools() -> None:
    encoder = timm.create_model("mae_vit_tiny", num_classes=4)
    encoder.reset_classifier(9, "avg")
    encoder.set_input_size((128, 64))
    encoder.set_grad_checkpointing()
    output = encoder(torch.randn(2, 3, 128, 64))
    assert output.shape == (2, 9)
    output.sum().backward()
    assert all(p.grad is not None for p in encoder.parameters())
    assert set(encoder.no_weight_decay()) >= {"pos_embed", "cls_token"}
    data = timm.data.resolve_model_data_config(encoder)
    assert data["input_size"] == (3, 96, 96)


@pytest.mark.filterwarnings("ignore:.torch.jit.*(deprecated|not supported in Python 3.14)")
def test_torchscript() -> None:
    encoder = timm.create_model("mae_vit_tiny", scriptable=True).eval()
    images = torch.randn(1, 3, 96, 96)
    scripted = torch.jit.script(encoder)
    with torch.no_grad():
        torch.testing.assert_close(scripted(images), encoder(images))
