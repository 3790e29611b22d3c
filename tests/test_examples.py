"""The examples run, do what they say, and stay short."""

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image

EXAMPLES = Path(__file__).parent.parent / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))


@pytest.fixture(autouse=True)
def examples_know_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


@pytest.mark.parametrize("name", NAMES)
def test_no_example_is_longer_than_a_screen(name):
    lines = len((EXAMPLES / f"{name}.py").read_text(encoding="utf-8").splitlines())
    assert lines <= (130 if name == "serve" else 60)  # a service takes two


def test_each_of_the_promised_examples_is_there():
    promised = {"quickstart", "search", "mask_ratio_sweep", "anomaly_map", "timm_backbone"}
    assert promised | {"serve", "detect", "segment"} <= set(NAMES)


def test_quickstart(photos, tmp_path, capsys):
    output = tmp_path / "reconstruction.png"
    load("quickstart").main(photos, output)
    assert size_of(output) == (296, 96)
    said = capsys.readouterr().out
    assert "1.000" in said
    assert str(output) in said


def test_search_finds_the_part_of_the_same_photo(photos, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in photos:
        shutil.copy(path, folder / path.name)
    with Image.open(photos[0]) as photo:
        photo.crop((8, 8, photo.width - 8, photo.height - 8)).save(folder / "part.png")
    nearest = load("search").main(folder / photos[0].name, folder, tmp_path / "neighbours.png", k=2)
    assert nearest[0].name == "part.png"
    assert size_of(tmp_path / "neighbours.png")[0] > 3 * 192


def test_mask_ratio_sweep(photos, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    load("mask_ratio_sweep").main(photos[:1], tmp_path / "sweep.png", ratios=(0.5, 0.75))
    assert size_of(tmp_path / "sweep.png")[0] > 500
    assert "block" in capsys.readouterr().out


def test_anomaly_map_finds_the_pasted_piece(photos, tmp_path):
    pytest.importorskip("matplotlib")
    by_name = {path.stem: path for path in photos}
    output = tmp_path / "anomaly.png"
    assert load("anomaly_map").main(by_name["lighthouse"], by_name["astronaut"], output, rounds=1) > 0.2
    assert size_of(output)[0] > 500


def test_timm_backbone(photos, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    load("timm_backbone").main(photos[0], tmp_path / "layers.png")
    assert size_of(tmp_path / "layers.png")[0] > 500
    assert "(1, 10)" in capsys.readouterr().out


def test_scenes_have_exact_masks_and_boxes():
    make_scene = load("scenes").make_scene
    image, target = make_scene(3)
    assert torch.equal(image, make_scene(3)[0])
    assert not torch.equal(image, make_scene(3, test=True)[0])
    assert target["masks"].sum(dim=0).max() == 1  # each pixel belongs to one object at most
    for mask, (left, top, right, bottom) in zip(target["masks"], target["boxes"].int().tolist(), strict=True):
        assert mask.sum() == mask[top:bottom, left:right].sum() > 0
        assert all(edge.any() for edge in (mask[top], mask[bottom - 1], mask[:, left], mask[:, right - 1]))


def test_average_precision_counts_each_object_once():
    score = load("scoring").average_precision
    truth = [{"boxes": torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30]]), "labels": torch.tensor([1, 1])}]
    boxes = torch.tensor([[0.0, 0, 10, 9], [0, 0, 10, 10], [20, 20, 30, 29], [50, 50, 60, 60]])
    found = [{"boxes": boxes, "scores": torch.tensor([0.9, 0.8, 0.7, 0.6]), "labels": torch.ones(4)}]
    assert score(found, truth, 1) == pytest.approx((1 + 2 / 3) / 2)  # the second is a double of the first
    assert score(found, truth, 2) == 0
    assert score(truth and [{**truth[0], "scores": torch.ones(2)}], truth, 1) == 1


@pytest.mark.parametrize("name", ["detect", "segment"])
def test_detectors_and_segmenters_train_and_draw(name, tmp_path, capsys):
    output = tmp_path / "found.png"
    assert 0 <= load(name).main(output, "mae_vit_tiny", 2, 16, tests=2) <= 1
    assert size_of(output)[0] == 2 * 160
    assert "on 2 test scenes" in capsys.readouterr().out


def test_a_scene_of_13_bands_is_written_and_read_by_name(tmp_path, capsys):
    pytest.importorskip("rasterio")
    vectors = load("satellite").main(tmp_path / "scene.png")
    assert vectors.shape == (4, 384)
    assert size_of(tmp_path / "scene.png")[1] > 224
    assert "random weights" in capsys.readouterr().out


def test_a_slice_is_read_in_hounsfield_units_and_shown_through_windows(tmp_path, capsys):
    pytest.importorskip("pydicom")
    errors = load("medical").main(tmp_path / "slice.png")
    assert len(set(errors)) == 3
    assert max(errors) < 0.6
    assert size_of(tmp_path / "slice.png") == (584, 588)
    assert "soft tissue" in capsys.readouterr().out


def test_a_sound_becomes_parts_and_spectrograms(tmp_path, capsys):
    pytest.importorskip("soundfile")
    pytest.importorskip("scipy")
    vectors = load("sound").main(tmp_path / "sound.png")
    assert vectors.shape == (2, 768)
    assert size_of(tmp_path / "sound.png")[1] > 3 * 256
    assert "random weights" in capsys.readouterr().out


def test_sentences_become_strips_and_lines(tmp_path, capsys):
    vectors = load("text").main(tmp_path / "text.png")
    assert vectors.shape == (3, 768)
    assert size_of(tmp_path / "text.png")[0] >= 768
    assert "random weights" in capsys.readouterr().out
