"""What we write for timm, timm reads without us, a trained head included."""

import json
import subprocess
import sys

import pytest
import timm
import torch

import maezoo
from maezoo.checkpoints.convert import convert
from maezoo.checkpoints.metadata import WeightsMetadata
from maezoo.checkpoints.save import to_layout
from maezoo.checkpoints.timm_config import timm_config
from maezoo.images.preprocessing import Preprocessing
from maezoo.manifest.description import Description
from maezoo.model import VARIANTS, build_mae
from maezoo.model.build import empty_weights

PROGRAM = """
import sys, timm, torch
model = timm.create_model("local-dir:" + sys.argv[1], pretrained=True).eval()
torch.manual_seed(3)
images = torch.randn(2, model.patch_embed.proj.in_channels, *model.patch_embed.img_size)
assert not any(name.startswith("maezoo") for name in sys.modules)
torch.save({"images": images, "output": model(images), "labels": model.pretrained_cfg.get("label_names")}, sys.argv[2])
"""


def plain_timm(folder, tmp_path):
    """Run a folder's model where maezoo is never imported."""
    result = tmp_path / "output.pt"
    run = [sys.executable, "-W", "error", "-c", PROGRAM, str(folder), str(result)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return torch.load(result)


@pytest.mark.parametrize("options", [{}, {"in_chans": 4}, {"img_size": (64, 128)}])
def test_timm_alone_builds_the_encoder(tmp_path, options):
    model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu", **options)
    model.save_pretrained(tmp_path / "ours")
    convert(tmp_path / "ours", tmp_path / "theirs", to="timm", encoder_only=True)
    found = plain_timm(tmp_path / "theirs", tmp_path)
    torch.testing.assert_close(found["output"], model.features(found["images"]))
    again = maezoo.create(f"local-dir:{tmp_path / 'theirs'}", device="cpu")
    assert torch.equal(again.encode(found["images"]), model.encode(found["images"]))


@pytest.mark.parametrize("options", [{}, {"global_pool": "avg"}, {"global_pool": "avg", "fc_norm": True}])
def test_a_trained_head_stays_with_its_labels_and_its_pooling(tmp_path, options):
    trained = timm.create_model("mae_vit_tiny", pretrained=True, num_classes=5, **options).eval()
    labels = ["cat", "dog", "gnu", "emu", "yak"]
    timm.models.save_for_hf(trained, tmp_path / "hf", model_config={"label_names": labels}, safe_serialization=True)
    like = Description.of_entry(maezoo.info("mae_vit_tiny"))
    convert(tmp_path / "hf", tmp_path / "theirs", to="timm", like=like)
    config = json.loads((tmp_path / "theirs" / "config.json").read_text())
    assert (config["num_classes"], config["label_names"]) == (5, labels)
    found = plain_timm(tmp_path / "theirs", tmp_path)
    with torch.no_grad():
        assert torch.equal(found["output"], trained(found["images"]))
    assert found["labels"] == labels
    beside_us = timm.create_model(f"local-dir:{tmp_path / 'theirs'}", pretrained=True).eval()
    assert torch.equal(beside_us(found["images"]), found["output"])


@pytest.mark.parametrize("name", VARIANTS)
def test_every_size_has_a_name_of_timms(tmp_path, name):
    side, facts = VARIANTS[name].img_size, VARIANTS[name].facts
    with empty_weights():
        state = build_mae(VARIANTS[name], decoder=False, init=False).state_dict()
        shapes = {key: tuple(tensor.shape) for key, tensor in to_layout(state, "timm").items()}
        metadata = WeightsMetadata(VARIANTS[name], None, Preprocessing((side, side)), ("encoder",), facts=facts)
        config = timm_config(metadata, shapes, {})
        model = timm.create_model(config["architecture"], num_classes=0, **config["model_args"])
    assert {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()} == shapes
