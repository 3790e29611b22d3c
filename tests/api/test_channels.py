"""Without a word on channels, a model has those of its weights; with one, both ends are adapted to it."""

import pytest
import timm
import torch

import maezoo
from maezoo.checkpoints.convert import convert


@pytest.fixture(params=[1, 2, 4, 6])
def saved(request, tmp_path):
    """A model of another number of channels than three, and the folder that it was saved to."""
    model = maezoo.create("mae_vit_tiny", pretrained=True, in_chans=request.param, device="cpu")
    return model, model.save_pretrained(tmp_path / "saved")


def test_a_saved_model_comes_back_with_its_own_channels(saved, tmp_path):
    model, folder = saved
    convert(folder, tmp_path / "theirs", to="transformers")
    convert(tmp_path / "theirs", tmp_path / "back.safetensors")
    images = torch.randn(1, model.in_chans, 96, 96)
    for again in (
        maezoo.create(f"local-dir:{folder}", device="cpu"),
        maezoo.create("mae_vit_tiny", checkpoint=folder, device="cpu"),
        maezoo.create(f"local-dir:{tmp_path / 'theirs'}", device="cpu"),
        maezoo.create("mae_vit_tiny", checkpoint=tmp_path / "back.safetensors", device="cpu"),
    ):
        assert not again.load_report.adapted
        assert torch.equal(again.encode(images), model.encode(images))
        assert torch.equal(again.reconstruct(images).predicted, model.reconstruct(images).predicted)


@pytest.mark.parametrize("wanted", [1, 3, 5])
def test_other_channels_are_had_by_asking(saved, wanted):
    _, folder = saved
    again = maezoo.create(f"local-dir:{folder}", device="cpu", in_chans=wanted)
    assert (again.in_chans, again.decoder.pred.out_features) == (wanted, 64 * wanted)


def test_timm_has_the_files_channels_or_those_asked_for(saved):
    model, folder = saved
    images = torch.randn(1, model.in_chans, 96, 96)
    overlay = {"file": str(folder / "model.safetensors")}
    for name, options in ((f"local-dir:{folder}", {}), ("mae_vit_tiny", {"pretrained_cfg_overlay": overlay})):
        encoder = timm.create_model(name, pretrained=True, **options).eval()
        torch.testing.assert_close(encoder.forward_features(images), model.encode(images))
        for wanted in (1, 3, 5):
            adapted = timm.create_model(name, pretrained=True, in_chans=wanted, **options)
            assert adapted.patch_embed.proj.in_channels == wanted


def test_random_weights_have_three_channels_unless_told():
    assert maezoo.create("mae_vit_tiny", device="cpu").in_chans == 3
    assert maezoo.create("mae_vit_tiny", device="cpu", in_chans=2).in_chans == 2
    for wrong in (0, -1, True, 3.0, "3"):
        with pytest.raises(ValueError, match="in_chans"):
            maezoo.create("mae_vit_tiny", device="cpu", in_chans=wrong)
