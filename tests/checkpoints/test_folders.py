"""A saved folder comes back as the same model, in maezoo and in timm."""

import json

import pytest
import timm
import torch

import maezoo


def test_a_saved_model_comes_back_the_same(tmp_path):
    model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
    assert model.save_pretrained(tmp_path / "folder") == tmp_path / "folder"
    again = maezoo.create(f"local-dir:{tmp_path / 'folder'}", device="cpu")
    assert again.preprocess == model.preprocess
    assert again.license == model.entry.license
    images = torch.randn(2, 3, 96, 96)
    assert torch.equal(again.features(images), model.features(images))
    assert torch.equal(again.reconstruct(images).predicted, model.reconstruct(images).predicted)


@pytest.mark.parametrize("options", [{}, {"in_chans": 1}, {"img_size": (64, 128)}, {"decoder": False}])
def test_timm_reads_a_saved_folder(tmp_path, options):
    model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu", **options)
    model.save_pretrained(tmp_path)
    encoder = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    images = torch.randn(2, model.in_chans, *model.img_size)
    with torch.no_grad():
        assert torch.allclose(encoder.forward_features(images), model.encode(images), atol=1e-6)
    assert tuple(encoder.pretrained_cfg["input_size"]) == (model.in_chans, *model.img_size)


def test_a_model_of_no_zoo_comes_back_too(tmp_path):
    from maezoo.model.variants import Variant

    variant = Variant("mine", 32, 8, 48, 3, 3, 32, 2, 4)
    plain = maezoo.model.build_mae(variant, target="normpix")
    preprocess = maezoo.create("mae_vit_tiny").preprocess
    model = maezoo.MAE(
        plain.encoder, plain.decoder, preprocess=type(preprocess)(size=(32, 32)), target="normpix", name="mine"
    )
    model.save_pretrained(tmp_path, license="mit")
    again = maezoo.create(f"local-dir:{tmp_path}", device="cpu")
    assert (again.target, again.license, again.embed_dim) == ("normpix", "mit", 48)


def test_the_card_states_licence_and_use(tmp_path):
    maezoo.create("mae_vit_tiny", pretrained=True, device="cpu").save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert card.startswith("---\nlicense: apache-2.0\n")
    assert "maezoo.create(" in card
    assert json.loads((tmp_path / "config.json").read_text())["architecture"] == "vit_tiny_patch16_224"


def test_a_folder_that_is_not_there_is_told_from_one_without_weights(tmp_path):
    with pytest.raises(maezoo.errors.WeightsNotFoundError, match="there is no such file or folder"):
        maezoo.create(f"local-dir:{tmp_path / 'nope'}", device="cpu")
    with pytest.raises(maezoo.errors.WeightsNotFoundError, match=r"has no model\.safetensors"):
        maezoo.create(f"local-dir:{tmp_path}", device="cpu")
