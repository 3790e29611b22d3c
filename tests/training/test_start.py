"""The shape of what is trained, and the weights that it starts from, in every layout."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

import maezoo
from maezoo.api.mae import MAE
from maezoo.checkpoints.convert import convert
from maezoo.errors import ArgumentError, CheckpointError, DataError, LayoutError, SizeError, WeightsNotFoundError
from maezoo.training import Recipe, open_source, pretrain
from maezoo.training.result import write_result

# One step, of nothing.
STILL = Recipe(views=2, batch_size=2, optimizer="adamw", base_lr=0.0, ema=0.0, precision="float32")


@pytest.fixture
def pictures(coloured: Callable[..., Path]) -> Path:
    return coloured(number=2)


def begin(recipe: Recipe, pictures: Path, out: Path) -> MAE:
    return pretrain(recipe, open_source(pictures), out, device="cpu")


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    theirs = b.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in a.state_dict().items())


def test_any_shape_is_trained_saved_and_loaded_by_timm_too(pictures: Path, tmp_path: Path) -> None:
    recipe = replace(STILL, img_size=(32, 48), in_chans=1, patch_size=16, decoder_dim=48, decoder_depth=1)
    source = open_source(pictures)
    trained = begin(replace(recipe, target="normpix"), pictures, tmp_path / "run")
    write_result(trained, recipe, source, tmp_path / "run")
    model = maezoo.create(f"local-dir:{tmp_path / 'run'}", device="cpu")
    assert (model.img_size, model.in_chans, model.patch_size, model.target) == ((32, 48), 1, 16, "normpix")
    assert (model.decoder.dim, len(model.decoder.blocks)) == (48, 1)
    assert model.preprocess.mean == pytest.approx((0.449,))
    images = torch.randn(2, 1, 32, 48)
    encoder = timm.create_model(f"local-dir:{tmp_path / 'run'}", pretrained=True).eval()
    torch.testing.assert_close(encoder.forward_features(images), model.encode(images), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("layout", ["maezoo", "fair", "transformers"])
def test_weights_of_every_layout_are_a_start(layout: Any, small: str, pictures: Path, tmp_path: Path) -> None:
    place = tmp_path / ("theirs" if layout == "transformers" else "theirs.safetensors")
    convert(small.removeprefix("local-dir:"), place, to=layout)
    begun = begin(replace(STILL, init=str(place)), pictures, tmp_path / "run") if layout != "fair" else None
    if begun is None:  # a bare file of a size that is not in the table does not say which it is
        with pytest.raises(LayoutError, match="which architecture"):
            begin(replace(STILL, init=str(place)), pictures, tmp_path / "run")
        return
    assert same(begun, maezoo.create(small, device="cpu"))


def test_a_bare_file_of_a_known_size_is_a_start(pictures: Path, tmp_path: Path) -> None:
    convert("maezoo/checkpoints/mae_vit_tiny.safetensors", tmp_path / "fair.safetensors", to="fair")
    recipe = replace(STILL, init=str(tmp_path / "fair.safetensors"), model="mae_vit_tiny", img_size=(96, 96))
    assert same(begin(recipe, pictures, tmp_path / "run"), maezoo.create("mae_vit_tiny", pretrained=True, device="cpu"))


def test_what_does_not_fit_is_adapted_or_begins_anew_and_is_told(
    small: str, pictures: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    origin = maezoo.create(small, device="cpu")
    larger = begin(replace(STILL, init=small, img_size=(48, 48)), pictures, tmp_path / "larger")
    assert larger.grid_size == (6, 6)
    assert same(larger.decoder.blocks, origin.decoder.blocks)
    assert not caplog.records
    grey = begin(replace(STILL, init=small, in_chans=1), pictures, tmp_path / "grey")
    filters = origin.encoder.patch_embed.proj.weight
    torch.testing.assert_close(grey.encoder.patch_embed.proj.weight, filters.sum(1, keepdim=True))
    for changes, why in (
        ({"decoder_dim": 24}, "decoder_dim is 48 there, 24 here"),
        ({"patch_size": 16}, "patches of 8 pixels, not 16"),
        ({"target": "normpix"}, "predicts pixel, not normpix"),
    ):
        caplog.clear()
        begun = begin(replace(STILL, init=small, **changes), pictures, tmp_path / next(iter(changes)))  # type: ignore[arg-type]
        assert same(begun.encoder.blocks, origin.encoder.blocks)
        assert "the decoder starts anew: " in caplog.text
        assert why in caplog.text


def test_a_start_is_remembered_by_its_content(small: str, pictures: Path, tmp_path: Path) -> None:
    begin(replace(STILL, init=small), pictures, tmp_path / "run")
    begin(replace(STILL, init=small), pictures, tmp_path / "run")
    with pytest.raises(CheckpointError, match="init was"):
        begin(replace(STILL, init="mae_vit_tiny"), pictures, tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"img_size": (30, 32)}, SizeError, "nearest valid size is 32x32"),
        ({"in_chans": 5}, ArgumentError, "5 channels needs the mean"),
        ({"in_chans": 2, "mean": (0.5, 0.5), "std": (0.2, 0.2)}, DataError, "takes 2 channels"),
        ({"decoder_dim": 50}, ArgumentError, "multiple of decoder_heads"),
        ({"init": "nowhere.safetensors"}, WeightsNotFoundError, "no such file"),
        ({"init": "mae_vit_tiny", "model": "mae_vit_small"}, LayoutError, "width 192, 6 blocks and 3 heads"),
    ],
)
def test_impossible_shapes(
    changes: dict[str, Any], error: type[Exception], match: str, pictures: Path, tmp_path: Path
) -> None:
    recipe = Recipe(**{"views": 2, "batch_size": 2, "img_size": (32, 32), "precision": "float32", **changes})
    with pytest.raises(error, match=match):
        begin(recipe, pictures, tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()
