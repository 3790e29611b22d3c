"""Models of other fields: every method takes their inputs, and what they reconstruct is shown as the field reads it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ImageDraw

import maezoo
from maezoo import Scene, Sound, Text
from maezoo.checkpoints.convert import convert
from maezoo.errors import ArgumentError, ImageError
from maezoo.figures import (
    measure_sweep,
    plot_attention,
    plot_reconstruction,
    plot_similarity,
    plot_sweep,
    plot_whole,
)
from maezoo.images.preprocessing import Preprocessing
from maezoo.manifest.description import Description
from maezoo.model import VARIANTS, build_mae
from maezoo.model.facts import Facts
from tests.images.test_bands import S2, scene, write_tif


def model_of(preprocess: Preprocessing, channels: int, **facts: Any) -> maezoo.MAE:
    """A small model with random weights and the preprocessing of a field."""
    name = "mae_vit_small" if preprocess.kind == "text" else "mae_vit_tiny"  # of patches of 16, and of 8
    plain = build_mae(VARIANTS[name], facts=Facts(in_chans=channels, **facts), img_size=preprocess.size)
    model = maezoo.MAE(plain.encoder, plain.decoder, preprocess=preprocess, facts=plain.facts, name=name)
    return model.eval()


@pytest.fixture(scope="module")
def satellite() -> maezoo.MAE:
    rule = Preprocessing((32, 32), mean=(0.1,) * 13, std=(0.2,) * 13, bands=S2, window=(0, 10_000), clip=False)
    return model_of(rule, 13)


@pytest.fixture(scope="module")
def audio() -> maezoo.MAE:
    return model_of(Preprocessing((64, 128), mean=(-4.2677393,), std=(9.1379948,), kind="sound"), 1)


@pytest.fixture(scope="module")
def reader() -> maezoo.MAE:
    rule = Preprocessing((16, 800), "squash", mean=(0.5,) * 3, std=(0.5,) * 3, kind="text")
    return model_of(rule, 3, resampling="leading")


def test_every_method_takes_scenes(satellite: maezoo.MAE, tmp_path: Path) -> None:
    path = write_tif(tmp_path / "a.tif", scene())
    given = [
        scene(),
        path,
        Scene(scene()[:, :, ::-1], bands=S2[::-1]),
        torch.tensor(scene().astype(np.int16)).movedim(2, 0),
    ]
    features = satellite.features(given)
    assert torch.allclose(features, features[:1].expand(4, -1), atol=1e-6)
    assert torch.allclose(satellite.features(np.stack([scene()] * 2)), features[:2], atol=1e-6)
    assert satellite.encode(iter(given)).shape == (4, 17, 192)
    assert satellite.feature_maps(given)[0].shape == (4, 192, 4, 4)
    fast = satellite.optimize(engine="eager", batch_sizes=(1,))
    assert torch.allclose(fast.features(given), features, atol=1e-6)


def test_chosen_bands_are_shown_as_rgb(satellite: maezoo.MAE, tmp_path: Path) -> None:
    values = np.zeros((32, 32, 13), np.uint16)
    values[:, :16, S2.index("B08")] = 3_000
    values[:16, :, S2.index("B04")] = 2_000
    shown = satellite.reconstruct(values, mask_ratio=0, bands=("B08", "B04", "B03"))
    corners = np.asarray(shown.to_pil())[[2, 2, 29, 29], [2, 29, 2, 29]]
    assert corners.tolist() == [[255, 255, 0], [0, 255, 0], [255, 0, 0], [0, 0, 0]]
    assert "shown: B08 B04 B03, black and white at 2 and 98 % of the original" in shown._notes()[0]
    assert satellite.reconstruct(values).view.names == ("B04", "B03", "B02")  # natural colours
    assert satellite.reconstruct(values, bands=["B11"]).to_pil().size == (104, 32)
    half = np.asarray(satellite.reconstruct(values, mask_ratio=0.5).to_pil())[:, 36:68]
    assert (half == 128).all(axis=2).mean() == pytest.approx(0.5)
    for wrong in (("B04", "B03"), ("B4", "B3", "B2"), (13,), "visible"):
        with pytest.raises(ArgumentError, match="one or three of B01, B02"):
            satellite.reconstruct(values, bands=wrong)
    with pytest.raises(ArgumentError, match="bands have names"):
        maezoo.create("mae_vit_tiny", pretrained=True, device="cpu").reconstruct(maezoo.sample("cat"), bands=("B04",))
    assert satellite.reconstruct([]).to_pil().size == (1, 1)


def test_what_has_no_upper_end_is_not_cut_in_what_comes_back(satellite: maezoo.MAE) -> None:
    bright = np.full((32, 32, 13), 15_000, np.uint16)
    assert torch.allclose(satellite.reconstruct(bright, mask_ratio=0).pixels, torch.tensor(1.5))


def test_every_method_takes_sounds(audio: maezoo.MAE, tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    wave = 0.2 * np.random.default_rng(0).normal(size=10_000)
    soundfile.write(tmp_path / "a.wav", wave, 16_000, subtype="DOUBLE")
    features = audio.features([Sound(wave, 16_000), tmp_path / "a.wav"])
    assert torch.allclose(features[0], features[1], atol=1e-4)
    assert audio.encode(tmp_path / "a.wav").shape == (1, 1 + 8 * 16, 192)
    found = audio.reconstruct(Sound(wave, 16_000), mask_ratio=0.5)
    energies = maezoo.images.fbank.log_mel(wave, 128)
    assert torch.allclose(found.original[0, 0, : len(energies)], torch.tensor(energies), atol=1e-4)
    picture = found.to_pil()
    assert picture.size[1] > 3 * 256  # three spectrograms, one below the other
    assert len(found._notes()) == 3
    assert found.save(tmp_path / "a.png", labels=True).exists()
    assert found._repr_png_()


def test_all_of_a_scene_is_reconstructed_and_shown_in_its_bands(satellite: maezoo.MAE, tmp_path: Path) -> None:
    values = np.zeros((32, 32, 13), np.uint16)
    values[:, :16, S2.index("B08")] = 3_000
    values[:16, :, S2.index("B04")] = 2_000
    whole = maezoo.reconstruct_all(satellite, values, 0.5, bands=("B08", "B04", "B03"))
    assert whole.pixels.shape == (1, 13, 32, 32)
    corners = np.asarray(whole.to_pil())[[2, 2, 29, 29], [2, 29, 2, 29]]
    assert corners.tolist() == [[255, 255, 0], [0, 255, 0], [255, 0, 0], [0, 0, 0]]
    assert "(normalised band values); shown: B08 B04 B03" in whole._notes()[0]
    assert maezoo.reconstruct_all(satellite, values, 0.5).view.names == ("B04", "B03", "B02")
    assert whole.save(tmp_path / "a.png", labels=True).exists()
    with pytest.raises(ArgumentError, match="one or three of B01, B02"):
        maezoo.reconstruct_all(satellite, values, bands=("B04", "B03"))


def test_all_of_a_sound_or_a_text_is_reconstructed(audio: maezoo.MAE, reader: maezoo.MAE) -> None:
    whole = maezoo.reconstruct_all(audio, Sound(0.2 * np.random.default_rng(0).normal(size=10_000), 16_000), 0.5)
    assert whole.to_pil().size[1] > 3 * 256  # two spectrograms and the error, one below the other
    assert len(whole._notes()) == 3
    assert whole._repr_png_()
    assert maezoo.reconstruct_all(reader, "one two three four", 0.5).to_pil(labels=True).width > 100
    with pytest.raises(ImageError, match="texts of different lengths"):
        maezoo.reconstruct_all(reader, ["one two three four", "one two"], 0.5)


def test_errors_are_in_the_units_of_the_field(satellite: maezoo.MAE, audio: maezoo.MAE, reader: maezoo.MAE) -> None:
    pytest.importorskip("matplotlib")
    sound = Sound(0.1 * np.random.default_rng(0).normal(size=9_000), 16_000)
    for model, given, unit in (
        (satellite, scene(), "normalised band values"),
        (audio, sound, "normalised log-mel energies"),
        (reader, "some words in a line", "normalised pixels"),
    ):
        found, whole = model.reconstruct(given), maezoo.reconstruct_all(model, given, 0.5)
        sweep = measure_sweep(model, [given], ratios=(0.5,), strategies=("random",), seeds=1)
        assert {found.unit, whole.unit, sweep.unit} == {unit}
        assert f"({unit})" in repr(found)
        assert f"({unit})" in found._notes()[-1]
        assert f"({unit})" in plot_sweep(sweep, pictures=False).axes[0].get_ylabel()


def test_figures_show_bands_and_sounds_as_pictures(satellite: maezoo.MAE, audio: maezoo.MAE) -> None:
    pytest.importorskip("matplotlib")
    values = np.zeros((32, 32, 13), np.uint16)
    values[:, :16, S2.index("B04")] = 300  # of 10,000: all but black without a stretch
    found = satellite.reconstruct(values, mask_ratio=0.5)
    panels = [panel.get_images()[0].get_array() for panel in plot_reconstruction(found).axes[:4]]
    assert panels[0][2, 2].tolist() == [1, 0, 0]
    assert (panels[1] == 0.5).all(axis=2).mean() == pytest.approx(0.5)  # hidden patches are grey
    for figure in (plot_attention(satellite, values), plot_similarity(satellite, values, [(0, 0)])):
        assert figure.axes[0].get_images()[0].get_array()[2, 2].tolist() == [1, 0, 0]
    sound = Sound(0.1 * np.sin(np.arange(9_000)), 16_000)
    levels = plot_whole(maezoo.reconstruct_all(audio, sound, 0.5)).axes[0].get_images()[0].get_array()
    assert levels.max() == 1
    assert 0.05 < levels.mean() < 0.95


def test_texts_of_any_length_have_features_and_others_one_width(reader: maezoo.MAE, tmp_path: Path) -> None:
    texts = ["one", "a longer text", "one"]
    with pytest.raises(ImageError, match="a strip holds 50 patches"):
        reader.features("word " * 300)
    features = reader.features(texts)
    assert torch.allclose(features[0], features[2], atol=1e-6)
    assert torch.allclose(features[1], reader.features(texts[1])[0], atol=1e-6)
    for method in (reader.encode, reader.reconstruct, reader.feature_maps, reader.prepare):
        with pytest.raises(ImageError, match=r"texts of different lengths.*maezoo\.Text\(text, patches=…\)"):
            method(texts)  # type: ignore[operator]
    assert len(reader.encode([Text(text, patches=40) for text in texts])) == 3
    fast = reader.optimize(engine="eager", batch_sizes=(1,))
    assert torch.allclose(fast.features(texts), features, atol=1e-6)
    assert reader.reconstruct("one two three").save(tmp_path / "a.png", labels=True).exists()


def test_a_notebook_says_how_many_of_the_sounds_it_shows(audio: maezoo.MAE, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    text = ImageDraw.ImageDraw.text
    monkeypatch.setattr(
        ImageDraw.ImageDraw,
        "text",
        lambda pen, xy, said, *more, **how: (drawn.append(said), text(pen, xy, said, *more, **how)),
    )
    sounds = [Sound(np.zeros(10_000, np.float32), 16_000)] * 4
    audio.reconstruct(sounds[:2])._repr_png_()
    assert not any("images)" in said for said in drawn)
    audio.reconstruct(sounds)._repr_png_()
    assert sum("(the first 2 of 4 images)" in said for said in drawn) == 1
    maezoo.reconstruct_all(audio, sounds)._repr_png_()
    assert sum("(the first 2 of 4 images)" in said for said in drawn) == 2


@pytest.mark.parametrize("kind", ["satellite", "audio", "reader"])
def test_models_of_every_field_are_optimised(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    model: maezoo.MAE = request.getfixturevalue(kind)
    fast = model.optimize(engine="eager", batch_sizes=(1,), cache_dir=tmp_path)
    H, W = model.img_size
    images = torch.randn(1, model.in_chans, H, W)
    assert torch.allclose(fast.features(images), model.features(images), atol=1e-6)


@pytest.mark.parametrize("kind", ["satellite", "audio", "reader"])
def test_a_saved_model_takes_the_same_inputs(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    model = request.getfixturevalue(kind)
    model.save_pretrained(tmp_path / "saved")
    again = maezoo.create(f"local-dir:{tmp_path / 'saved'}", device="cpu")
    assert again.preprocess == model.preprocess
    given = {"satellite": scene(), "audio": Sound(np.ones(9_000) * 0.1, 16_000), "reader": "some text"}[kind]
    assert torch.equal(again.features(given), model.features(given))


def test_other_channels_than_the_weights_have_no_names() -> None:
    model = maezoo.create("mae_vit_small.ssl4eo_s1", in_chans=5, decoder=False, device="cpu")
    assert (model.preprocess.bands, model.preprocess.window) == (None, "full")
    assert model.prepare(np.zeros((32, 32, 5), np.uint16)).shape == (1, 5, 224, 224)


@pytest.mark.parametrize("bands", [13, 2])
@pytest.mark.parametrize("layout", ["timm", "fair", "transformers", "maezoo"])
def test_bands_go_to_every_layout_and_back(satellite: maezoo.MAE, tmp_path: Path, layout: Any, bands: int) -> None:
    if bands == 2:
        window = ((-23, -32), (-2, -8))
        rule = {"mean": (0.1, 0.2), "std": (0.2, 0.3), "bands": ("VV", "VH"), "window": window}
        satellite = model_of(Preprocessing((32, 32), **rule), 2)
    satellite.save_pretrained(tmp_path / "saved")
    convert(tmp_path / "saved", tmp_path / "theirs", to=layout)
    said = Description(VARIANTS["mae_vit_tiny"], "pixel", satellite.preprocess)  # FAIR has no words for it
    convert(tmp_path / "theirs", tmp_path / "back", to="maezoo", like=said)
    again = maezoo.create(f"local-dir:{tmp_path / 'back'}", device="cpu")
    assert again.preprocess == satellite.preprocess
    if layout in ("timm", "transformers"):
        assert maezoo.create(f"local-dir:{tmp_path / 'theirs'}", device="cpu").preprocess == satellite.preprocess
    images = torch.randn(2, bands, *satellite.img_size)
    assert torch.equal(again.features(images), satellite.features(images))
    found, expected = again.reconstruct(images), satellite.reconstruct(images)
    assert torch.equal(found.loss, expected.loss)
