"""Folders and files say what they are, in whichever way they do, or the user is asked; nothing is assumed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import maezoo
from maezoo.api import source
from maezoo.checkpoints import load
from maezoo.checkpoints.folders import describe_folder
from maezoo.checkpoints.metadata import WeightsMetadata
from maezoo.checkpoints.reader import WeightsFile
from maezoo.checkpoints.save import save_model
from maezoo.checkpoints.transformers_config import transformers_config, transformers_preprocessor
from maezoo.errors import ArgumentError, LayoutError, LicenseError, UnknownModelError, WeightsNotFoundError
from maezoo.images.preprocessing import Preprocessing
from maezoo.model import VARIANTS, build_mae

TINY = VARIANTS["mae_vit_tiny"]
SQUASHED = Preprocessing(size=(96, 96), resize="squash", interpolation="bilinear", mean=(0.1, 0.2, 0.3))


def create(name, **options):
    return maezoo.create(name, device="cpu", **options)


def metadata(**changes) -> WeightsMetadata:
    fields = {"variant": TINY, "target": "normpix", "preprocess": SQUASHED, "parts": ("encoder", "decoder")}
    return WeightsMetadata(**{**fields, **changes})


def transformers_folder(tmp_path, tiny_file, **changes):
    path = tiny_file("transformers", name="folder/model.safetensors")
    config = transformers_config(metadata()) | changes
    path.with_name("config.json").write_text(json.dumps(config))
    path.with_name("preprocessor_config.json").write_text(json.dumps(transformers_preprocessor(SQUASHED)))
    return path.parent


def test_a_file_that_describes_itself_needs_no_config(tmp_path):
    save_model(build_mae(TINY, target="normpix"), tmp_path / "model.safetensors", metadata=metadata())
    for name in (f"local-dir:{tmp_path}", f"local-dir:{tmp_path / 'model.safetensors'}"):
        model = create(name)
        assert (model.target, model.preprocess, model.name) == ("normpix", SQUASHED, name)
    assert create("mae_vit_tiny", checkpoint=tmp_path / "model.safetensors").target == "normpix"
    assert create("mae_vit_tiny", checkpoint=tmp_path).target == "normpix"
    assert create(f"local-dir:{tmp_path}", decoder=False).decoder is None


def test_half_precision_on_disk_is_whole_precision_in_memory(tmp_path):
    save_model(build_mae(TINY), tmp_path / "model.safetensors", metadata=metadata(), dtype=torch.float16)
    assert create(f"local-dir:{tmp_path}").dtype == torch.float32


@pytest.mark.parametrize("target", ["pixel", "normpix"])
def test_a_transformers_folder_is_read_with_its_configs(tmp_path, tiny_file, tiny_state, target):
    folder = transformers_folder(tmp_path, tiny_file, norm_pix_loss=target == "normpix")
    model = create(f"local-dir:{folder}")
    assert (model.target, model.preprocess) == (target, SQUASHED)
    assert torch.equal(model.decoder.mask_token, tiny_state["decoder.mask_token"])


def test_a_folder_that_transformers_wrote_is_read(tmp_path):
    from transformers import ViTImageProcessor, ViTMAEConfig, ViTMAEForPreTraining

    numbers = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 192}
    decoder = {f"decoder_{key}": value for key, value in numbers.items()}
    others = {"image_size": 32, "patch_size": 8, "norm_pix_loss": True, "layer_norm_eps": 1e-6}
    theirs = ViTMAEForPreTraining(ViTMAEConfig(**numbers, **decoder, **others))
    theirs.save_pretrained(tmp_path)
    processor = ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    processor.save_pretrained(tmp_path)
    model = create(f"local-dir:{tmp_path}")
    assert (model.target, model.preprocess.mean, model.preprocess.size) == ("normpix", (0.5, 0.5, 0.5), (32, 32))
    images = torch.randn(2, 3, 32, 32)
    noise = torch.rand(2, 16).argsort(1).float()
    with torch.no_grad():
        output = theirs.eval()(images, noise=noise)
        ours = model.predict(images, output.mask.bool())
    assert torch.allclose(ours, output.logits, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_act": "relu"}, "hidden_act"),
        ({"intermediate_size": 100}, "intermediate_size"),
        ({"num_hidden_layers": "deep"}, "does not say"),
        ({"image_size": None}, "does not say"),
    ],
)
def test_what_maezoo_does_not_have_is_refused(tmp_path, tiny_file, changes, words):
    with pytest.raises(LayoutError, match=words):
        create(f"local-dir:{transformers_folder(tmp_path, tiny_file, **changes)}")


def test_crops_squashes_and_their_opposites_survive_transformers_configs(tmp_path):
    for preprocess in (SQUASHED, Preprocessing(size=(224, 224), crop_pct=0.875)):
        (tmp_path / "config.json").write_text(json.dumps(transformers_config(metadata())))
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(transformers_preprocessor(preprocess)))
        assert describe_folder(tmp_path).preprocess == preprocess


@pytest.mark.parametrize("gone", ["config.json", "preprocessor_config.json"])
def test_a_missing_config_is_asked_for_and_never_made_up(tmp_path, tiny_file, gone):
    folder = transformers_folder(tmp_path, tiny_file)
    (folder / gone).unlink()
    with pytest.raises(LayoutError, match="does not say") as caught:
        create(f"local-dir:{folder}")
    assert "maezoo convert" in str(caught.value)
    assert "preprocess" in str(caught.value)


def test_a_config_that_is_no_json_is_named(tmp_path, tiny_file):
    folder = transformers_folder(tmp_path, tiny_file)
    for text in ("{", "[]"):
        (folder / "config.json").write_text(text)
        with pytest.raises(LayoutError, match=r"config\.json"):
            create(f"local-dir:{folder}")


def test_a_target_is_asked_only_of_a_file_with_a_decoder(tmp_path, tiny_file):
    path = tiny_file("timm", decoder=False, name="timm/model.safetensors")
    config = {
        "architecture": "vit_tiny_patch8_96",
        "pretrained_cfg": {
            "input_size": [3, 96, 96],
            "interpolation": "bicubic",
            "crop_pct": 0.9,
            "mean": [0.5] * 3,
            "std": [0.5] * 3,
        },
    }
    path.with_name("config.json").write_text(json.dumps(config))
    model = create(f"local-dir:{path.parent}")
    assert (model.target, model.preprocess.crop_pct, model.decoder) == (None, 0.9, None)
    whole = tiny_file("fair", name="timm/model.safetensors")
    with pytest.raises(LayoutError, match=r"\(target\)"):
        create(f"local-dir:{whole.parent}")
    model = create("mae_vit_tiny.photos_pixel", checkpoint=path)
    assert (model.target, model.preprocess.crop_pct) == ("pixel", 0.9)


def test_a_bare_file_is_used_like_the_weights_that_are_named(tiny_file):
    path = tiny_file("fair")
    with pytest.raises(LayoutError, match=r"mae_vit_tiny\.photos_pixel"):
        create("mae_vit_tiny", checkpoint=path)
    model = create("mae_vit_tiny.photos_pixel", checkpoint=path)
    assert model.target == "pixel"
    assert model.entry is None
    assert model.decoder is not None


def test_a_name_of_another_training_than_the_files_is_refused(tmp_path):
    save_model(build_mae(TINY, target="normpix"), tmp_path / "model.safetensors", metadata=metadata())
    with pytest.raises(LayoutError, match="another training"):
        create("mae_vit_tiny.photos_pixel", checkpoint=tmp_path)


def test_a_file_of_another_architecture_is_refused(tiny_file, tmp_path):
    save_model(build_mae(TINY), tmp_path / "model.safetensors", metadata=metadata())
    with pytest.raises(LayoutError, match="holds mae_vit_tiny, not mae_vit_base"):
        create("mae_vit_base", checkpoint=tmp_path)


def test_a_saved_size_is_kept_and_can_be_changed(tmp_path):
    create("mae_vit_tiny", pretrained=True, img_size=(64, 128)).save_pretrained(tmp_path)
    model = create(f"local-dir:{tmp_path}")
    assert model.img_size == model.preprocess.size == (64, 128)
    assert not model.load_report.adapted
    assert create(f"local-dir:{tmp_path}", img_size=(128, 64)).load_report.adapted


def test_places_without_weights_say_so(tmp_path):
    with pytest.raises(WeightsNotFoundError, match="convert"):
        create(f"local-dir:{tmp_path}")
    for name in ("a", "b"):
        save_file({"x": torch.ones(1)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(WeightsNotFoundError, match=r"a\.safetensors, b\.safetensors"):
        create(f"local-dir:{tmp_path}")
    with pytest.raises(WeightsNotFoundError):
        create("mae_vit_tiny", checkpoint=tmp_path / "nothing.safetensors")
    with pytest.raises(UnknownModelError, match="org/repo"):
        create("hf-hub:just-a-word")
    with pytest.raises(ValueError, match="pass one of"):
        create("mae_vit_tiny", pretrained=True, checkpoint=tmp_path)


def test_a_non_commercial_file_is_refused_where_such_are(tmp_path, monkeypatch):
    save_model(build_mae(TINY), tmp_path / "model.safetensors", metadata=metadata(license="cc-by-nc-4.0"))
    monkeypatch.setenv("MAEZOO_ALLOW_NONCOMMERCIAL", "0")
    with pytest.raises(LicenseError, match="cc-by-nc"):
        create(f"local-dir:{tmp_path}")


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.pop("target"),
        lambda data: data.update(target="dvae"),
        lambda data: data["variant"].update(depth="six"),
        lambda data: data["variant"].update(depth=7),
        lambda data: data["preprocess"].update(size=[96]),
        lambda data: data.update(preprocess=None),
    ],
)
def test_damaged_metadata_is_an_error_and_not_a_guess(tmp_path, tiny_file, change):
    data = metadata().to_data()
    change(data)
    path = tiny_file("maezoo", metadata={"maezoo": json.dumps(data)})
    with pytest.raises(LayoutError):
        create("mae_vit_tiny", checkpoint=path)


def test_a_file_is_opened_once_and_closed_in_any_case(tmp_path, monkeypatch):
    save_model(build_mae(TINY), tmp_path / "model.safetensors", metadata=metadata())
    opened, closed = [], []
    real = source.open_weights
    monkeypatch.setattr(source, "open_weights", lambda *args, **options: opened.append(1) or real(*args, **options))
    monkeypatch.setattr(load, "open_weights", lambda *_, **__: pytest.fail("opened again"))
    monkeypatch.setattr(WeightsFile, "__exit__", lambda file, *_: closed.append(1) or file.close())
    create("mae_vit_tiny", pretrained=True)
    create(f"local-dir:{tmp_path}")
    assert (len(opened), len(closed)) == (2, 2)
    with pytest.raises(LayoutError):
        create("mae_vit_base", checkpoint=tmp_path)
    assert (len(opened), len(closed)) == (3, 3)


def test_errors_say_the_facts_as_fields(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(build_mae(TINY), path, metadata=metadata())
    with pytest.raises(LayoutError) as caught:
        create("mae_vit_base", checkpoint=path)
    assert (caught.value.path, caught.value.expected) == (str(path), "mae_vit_base")
    assert (caught.value.found, caught.value.suggestions) == ("mae_vit_tiny", ("mae_vit_tiny",))
    with pytest.raises(LayoutError) as caught:
        create("mae_vit_tiny.photos_pixel", checkpoint=path)
    assert (caught.value.expected, caught.value.found) == ("pixel", "normpix")
    with pytest.raises(WeightsNotFoundError) as caught:
        create("mae_vit_tiny", checkpoint=tmp_path / "none.safetensors")
    assert caught.value.path == str(tmp_path / "none.safetensors")


def test_the_bundled_files_header_agrees_with_the_manifest():
    entry = maezoo.info("mae_vit_tiny")
    with load.open_weights(maezoo.fetch("mae_vit_tiny")) as file:
        said = file.metadata
    assert (said.variant.name, said.target, said.preprocess) == (entry.architecture, entry.target, entry.preprocess)
    assert (said.license, said.facts.norm_epsilon) == (entry.license, 1e-6)


@pytest.mark.parametrize("size", ["96", 96.5, (96.5, 96), (96,), (96, 96, 3), (96, None), True, "ab", ()])
def test_a_size_that_is_none_is_refused_in_words(size):
    with pytest.raises(ArgumentError, match="side of the input"):
        create("mae_vit_tiny", img_size=size)


@pytest.mark.parametrize("size", [96, [96, 96], np.int64(96), np.array([96, 96]), torch.Size([96, 96])])
def test_a_size_may_be_any_whole_numbers(size):
    assert create("mae_vit_tiny", img_size=size).img_size == (96, 96)


@pytest.mark.parametrize("name", [None, 3, Path("mae_vit_tiny")])
def test_a_name_that_is_no_text_is_refused_in_words(name):
    with pytest.raises(ArgumentError, match="name is a text"):
        create(name, pretrained=True)


def test_a_name_in_capitals_finds_its_like():
    with pytest.raises(UnknownModelError, match="Did you mean 'mae_vit_tiny'"):
        create("MAE_ViT_Tiny")


@pytest.mark.parametrize("name", ["runs/mine", "./runs/mine", "runs\\v1.2", "org/repo"])
@pytest.mark.parametrize("options", [{}, {"pretrained": True}])
def test_a_path_as_a_name_is_told_how_to_name_it(name, options):
    with pytest.raises(UnknownModelError) as caught:
        maezoo.create(name, **options)
    assert f"'local-dir:{name}'" in str(caught.value)
    assert f"'hf-hub:{name}'" in str(caught.value)
