"""One folder serves a timm that has never heard of maezoo, timm with maezoo, and maezoo, decoder included."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import timm
import torch
from huggingface_hub import metadata_load
from safetensors.torch import load_file
from typer.testing import CliRunner

import maezoo
from maezoo.checkpoints import save_timm_model
from maezoo.checkpoints.card import card
from maezoo.checkpoints.convert import convert
from maezoo.checkpoints.reader import open_weights
from maezoo.cli import app
from maezoo.errors import ArgumentError, IntegrityError, LayoutError, WeightsNotFoundError

PROGRAM = """
import sys
sys.modules["maezoo"] = None  # importing it is an error
import timm, torch
for folder in sys.argv[1:]:
    model = timm.create_model("local-dir:" + folder, pretrained=True).eval()
    with torch.no_grad():
        output = model(torch.load(folder + "/images.pt"))
    labels = model.pretrained_cfg.get("label_names")
    config = timm.data.resolve_model_data_config(model)
    torch.save({"output": output, "labels": labels, "config": config}, folder + "/output.pt")
"""


def tiny(**options):
    return maezoo.create("mae_vit_tiny", pretrained=True, device="cpu", **options)


def classifier(**options):
    torch.manual_seed(5)
    model = timm.create_model("mae_vit_tiny", pretrained=True, num_classes=3, **options).eval()
    torch.nn.init.normal_(model.head.weight)
    return model


def test_every_folder_loads_in_timm_alone_with_the_same_bits(tmp_path):
    expected = {}
    for name, options in {"whole": {}, "grey": {"in_chans": 1}, "wide": {"img_size": (64, 128)}}.items():
        model = tiny(**options)
        model.save_pretrained(tmp_path / name)
        expected[name] = model.encoder
    for to in ("timm", "maezoo"):
        convert(maezoo.fetch("mae_vit_tiny"), tmp_path / to, to=to)
        convert(maezoo.fetch("mae_vit_tiny"), tmp_path / f"{to}_encoder", to=to, encoder_only=True)
        expected |= {to: tiny().encoder, f"{to}_encoder": tiny().encoder}
    for name, options in {
        "token": {},
        "avg": {"global_pool": "avg"},
        "fc": {"global_pool": "avg", "fc_norm": True},
    }.items():
        expected[name] = classifier(**options)
        save_timm_model(expected[name], tmp_path / name, tiny().preprocess, label_names=["ant", "bee", "cat"])
    for name, model in expected.items():
        images = torch.randn(2, model.patch_embed.proj.in_channels, *model.patch_embed.img_size)
        torch.save(images, tmp_path / name / "images.pt")
    run = [sys.executable, "-W", "error", "-c", PROGRAM, *(str(tmp_path / name) for name in expected)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name, model in expected.items():
        found = torch.load(tmp_path / name / "output.pt")
        with torch.no_grad():
            assert torch.equal(found["output"], model(torch.load(tmp_path / name / "images.pt"))), name
        assert found["labels"] == (["ant", "bee", "cat"] if model.num_classes else None)
        assert (found["config"]["crop_pct"], found["config"]["interpolation"]) == (1.0, "bicubic")


def test_the_same_folder_serves_maezoo_and_its_readme_has_the_lines(tmp_path):
    model = tiny()
    folder = model.save_pretrained(tmp_path / "mine")
    text = (folder / "README.md").read_text(encoding="utf-8")
    found = {}
    exec("\n".join(re.findall(r"^(?:import|encoder|model).*$", text, re.MULTILINE)), found)
    images = torch.randn(2, 3, 96, 96)
    assert torch.equal(found["model"].reconstruct(images).predicted, model.reconstruct(images).predicted)
    with torch.no_grad():
        assert torch.equal(found["encoder"].eval()(images), model.encoder(images))
    assert tiny(decoder=False).load_report.path != found["model"].load_report.path
    assert not any(key.startswith("decoder.") for key in load_file(folder / "model.safetensors"))


def test_an_encoder_is_never_joined_with_the_decoder_of_another_model(tmp_path):
    ours, theirs = (
        tiny().save_pretrained(tmp_path / "ours"),
        maezoo.create("mae_vit_tiny").save_pretrained(tmp_path / "b"),
    )
    shutil.copy(theirs / "decoder/model.safetensors", ours / "decoder")
    with pytest.raises(IntegrityError, match="not the decoder of"):
        maezoo.create(f"local-dir:{ours}")
    (ours / "decoder/model.safetensors").unlink()
    with pytest.raises(LayoutError, match="decoder=False"):
        maezoo.create(f"local-dir:{ours}")
    assert maezoo.create(f"local-dir:{ours}", decoder=False).decoder is None
    tiny(decoder=False).save_pretrained(theirs)
    assert sorted(path.name for path in theirs.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert maezoo.create(f"local-dir:{theirs}").decoder is None


def test_a_folder_is_converted_with_its_decoder(tmp_path):
    one = tiny().save_pretrained(tmp_path / "one")
    convert(one, tmp_path / "fair.safetensors", to="fair")
    again = maezoo.create("mae_vit_tiny.photos_pixel", checkpoint=tmp_path / "fair.safetensors", device="cpu")
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in tiny().state_dict().items())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vit_tiny_patch16_224", {"num_classes": 4}),
        ("vit_small_patch32_224", {"num_classes": 0, "in_chans": 1, "img_size": 64}),
        ("deit_tiny_patch16_224", {"drop_path_rate": 0.1}),
        ("mae_vit_tiny", {"img_size": (64, 128), "num_classes": 2}),
        ("vit_tiny_patch16_224", {"depth": 2, "embed_dim": 96, "num_heads": 2, "global_pool": "avg", "fc_norm": False}),
    ],
)
@pytest.mark.parametrize("safe", [True, False])
def test_timms_own_folders_load(tmp_path, name, options, safe):
    theirs = timm.create_model(name, **options).eval()
    folder = tmp_path / "their folder"
    timm.models.save_for_hf(theirs, folder, safe_serialization=safe, data_config={"crop_pct": 0.8})
    if not safe:
        with pytest.raises(WeightsNotFoundError, match="reads pickles only") as caught:
            maezoo.create(f"local-dir:{folder}")
        done = CliRunner().invoke(app, shlex.split(caught.value.command)[1:])
        assert done.exit_code == 0, done.output
        folder = tmp_path / "their folder-safetensors"
    ours = maezoo.create(f"local-dir:{folder}", device="cpu")
    images = torch.randn(2, ours.in_chans, *ours.img_size)
    with torch.no_grad():
        assert torch.equal(
            ours.encoder(images), theirs.forward_head(theirs.forward_features(images), pre_logits=True)
        ) or (theirs.global_pool == "avg")
        torch.testing.assert_close(ours.encode(images), theirs.forward_features(images))
        again = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
        assert torch.equal(again(images), theirs(images))
    assert (ours.target, ours.decoder, ours.preprocess.crop_pct) == (None, None, 0.8)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("vit_wee_patch16_reg1_gap_256", "reg_token"),
        ("deit_tiny_distilled_patch16_224", "pos_embed"),
        ("resnet18", "ViT"),
    ],
)
def test_what_is_no_plain_vit_is_refused_and_left_to_timm(tmp_path, name, what):
    timm.models.save_for_hf(timm.create_model(name), tmp_path, safe_serialization=True)
    with pytest.raises(LayoutError, match=what):
        maezoo.create(f"local-dir:{tmp_path}")


@pytest.mark.parametrize(
    "arguments", [{"depth": 10**9}, {"embed_dim": -1}, {"num_heads": 5}, {"block_fn": "x"}, {"depth": [1]}]
)
def test_arguments_from_outside_are_bounded_before_anything_is_built(tmp_path, arguments):
    timm.models.save_for_hf(timm.create_model("vit_tiny_patch16_224", depth=1), tmp_path, safe_serialization=True)
    config = json.loads((tmp_path / "config.json").read_text())
    config["model_args"] = arguments
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(LayoutError, match="config"):
        maezoo.create(f"local-dir:{tmp_path}")


def test_what_timm_cannot_rebuild_is_not_written(tmp_path):
    odd = timm.create_model("vit_tiny_patch16_224", depth=1, init_values=1e-5)
    with pytest.raises(LayoutError, match=r"ls1\.gamma"):
        save_timm_model(odd, tmp_path / "odd", tiny().preprocess)
    with pytest.raises(ArgumentError, match="2 label_names"):
        save_timm_model(classifier(), tmp_path / "odd", tiny().preprocess, label_names=["a", "b"])
    assert not (tmp_path / "odd").exists()


def test_a_head_is_counted_from_its_tensor_and_what_is_left_out_takes_one_line(tmp_path):
    torch.save(classifier().state_dict(), tmp_path / "head.pt")
    out = str(tmp_path / "out")
    done = CliRunner().invoke(
        app, ["convert", str(tmp_path / "head.pt"), out, "--to", "timm", "--like", "mae_vit_tiny"]
    )
    assert "head: 3 classes, global_pool token, which the source does not say" in done.output
    assert timm.create_model(f"local-dir:{out}", pretrained=True).head.out_features == 3
    bundled = str(maezoo.fetch("mae_vit_tiny"))
    done = CliRunner().invoke(app, ["convert", bundled, str(tmp_path / "enc"), "--to", "timm", "--encoder-only"])
    assert done.output.splitlines()[1:] == ["left out: the decoder (44 tensors)"]


@pytest.mark.parametrize("license", ["mit", "other: ask us", "a # b", 'say "please"'])
def test_any_licence_is_readable_in_the_card(tmp_path, license):
    with open_weights(maezoo.fetch("mae_vit_tiny")) as file:
        metadata = replace(file.metadata, license=license)
    (tmp_path / "README.md").write_text(card(metadata, source="local-dir:mine", title="mine"), encoding="utf-8")
    assert metadata_load(tmp_path / "README.md")["license"] == license
