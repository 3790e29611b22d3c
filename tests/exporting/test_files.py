"""Files that are exported: any batch, any size, the same numbers as eager PyTorch, and what they say of themselves."""

import json
import pickle
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from maezoo.api.mae import MAE
from maezoo.errors import ArgumentError, DataError, SizeError, SourceMissingError
from maezoo.exporting import ExportReport, export, open_exported
from maezoo.images.batches import normalise
from maezoo.masks import random_mask
from maezoo.masks.visible import visible_indices
from maezoo.vocabulary import ExportFormat

SIZES = [(1, 32, 32), (7, 40, 64), (2, 64, 24), (1, 8, 8)]


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def pixels(batch: int, height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (batch, 3, height, width), dtype=np.uint8)


@pytest.mark.parametrize(("batch", "height", "width"), SIZES)
def test_one_onnx_file_takes_any_batch_and_size(
    any_size: ExportReport, model: MAE, batch: int, height: int, width: int
) -> None:
    images = pixels(batch, height, width)
    wanted = model.features(normalise(torch.from_numpy(images), model.preprocess))
    found = open_exported(any_size.path)(images)["features"]
    assert np.abs(found - wanted.numpy()).max() < 1e-4


@pytest.mark.parametrize("kept", [1, 5, 40])
def test_reconstruction_takes_any_number_of_visible_patches(masked: Path, model: MAE, kept: int) -> None:
    images = pixels(3, 40, 64)
    mask = random_mask(3, (5, 8), 1 - kept / 40, seed=0)
    wanted = model.reconstruct(normalise(torch.from_numpy(images), model.preprocess), mask=mask)
    found = open_exported(masked)(images, visible_indices(mask).numpy())
    assert np.abs(found["predicted"] - wanted.predicted.numpy()).max() < 1e-4
    assert np.abs(found["pixels"] - wanted.pixels.numpy()).max() < 1e-4


@pytest.mark.parametrize("format", ["torch", "aotinductor", "openvino"])
def test_other_formats_give_the_same(model: MAE, tmp_path: Path, format: ExportFormat) -> None:
    report = export(model, tmp_path / f"small{'.xml' if format == 'openvino' else '.pt2'}", format=format)
    opened = open_exported(report.path, trust=True)
    assert replace(opened.facts, check=()) == replace(report.facts, check=())
    assert len(opened.facts.check) == len(report.comparisons)
    for batch, height, width in SIZES[:3]:
        images = pixels(batch, height, width)
        wanted = model.features(normalise(torch.from_numpy(images), model.preprocess))
        assert np.abs(opened(images)["features"] - wanted.numpy()).max() < 1e-4


@pytest.mark.parametrize(
    ("visible", "message"),
    [
        (np.array([[-1], [0]]), "from 0 to 15"),
        (np.array([[0], [16]]), "from 0 to 15"),
        (np.zeros((2, 16), bool), "For a mask, pass"),
        (np.array([[0.5], [1.0]]), "whole numbers"),
        (np.array([[0]]), "one row for each of 2 images"),
        (np.array([0, 1]), "one row for each of 2 images"),
    ],
)
def test_indices_of_no_patch_are_refused(masked: Path, visible: NDArray[np.generic], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_exported(masked)(pixels(2, 32, 32), visible)  # type: ignore[arg-type]


def test_threads_share_an_openvino_file(model: MAE, tmp_path: Path) -> None:
    opened = open_exported(export(model, tmp_path / "small.xml").path)
    given = [pixels(3, 32 + 8 * number, 32) for number in range(4)] * 10
    wanted = [opened(images)["features"] for images in given]
    with ThreadPoolExecutor(4) as pool:
        for found, expected in zip(pool.map(opened, given), wanted, strict=True):
            np.testing.assert_allclose(found["features"], expected, atol=1e-5)


def test_maps_of_a_fixed_size_and_batch(model: MAE, tmp_path: Path) -> None:
    path = tmp_path / "maps.pt2"
    export(model, path, task="maps", layers=(0, -1), batch=2, img_size=(40, 24), input="normalised")
    images = normalise(torch.from_numpy(pixels(3, 40, 24)), model.preprocess)
    found = open_exported(path, trust=True)(images.numpy())  # three, where the file takes two
    for ours, theirs in zip(found.values(), model.feature_maps(images, layers=(0, -1)), strict=True):
        assert np.abs(ours - theirs.numpy()).max() < 1e-4
    with pytest.raises(SizeError, match=r"\(B, 3, 40, 24\)"):
        open_exported(path, trust=True)(images[:, :, :32].numpy())


def test_a_file_that_holds_code_is_opened_only_where_it_is_trusted(model: MAE, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    path = tmp_path / "evil.pt2"
    torch.export.save(torch.export.export(torch.nn.ReLU(), (torch.zeros(1),)), path)
    with zipfile.ZipFile(path) as package:
        members = {name: package.read(name) for name in package.namelist()}
    inputs = next(name for name in members if "sample_inputs" in name and name.endswith(".pt"))
    members[inputs] = pickle.dumps(Touch(ran))
    with zipfile.ZipFile(path, "w") as package:
        for name, content in members.items():
            package.writestr(name, content)
    with pytest.raises(ArgumentError, match="--trust"):
        open_exported(path)
    assert not ran.exists()


def test_sixteen_bits_keep_their_norms_in_32(model: MAE, tmp_path: Path) -> None:
    report = export(model, tmp_path / "half.pt2", precision="float16", batch=1, img_size=(32, 32))
    tensors = torch.export.load(report.path).state_dict
    norms = {name for name in tensors if "norm" in name}
    assert norms
    assert {tensors[name].dtype for name in norms} == {torch.float32}
    assert {tensors[name].dtype for name in set(tensors) - norms} == {torch.float16}
    assert report.cosine > 0.999


def test_a_file_of_another_size_than_whole_patches_is_refused_by_the_graph(any_size: ExportReport) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(any_size.path)
    with pytest.raises(Exception, match="reshape"):
        session.run(None, {"images": pixels(1, 36, 36)})
    with pytest.raises(SizeError, match="multiples of 8"):
        open_exported(any_size.path)(pixels(1, 36, 36))


def test_the_file_says_what_it_is(any_size: ExportReport, model: MAE) -> None:
    facts = open_exported(any_size.path).facts
    assert replace(facts, check=()) == replace(any_size.facts, check=())
    assert [each["difference"] for each in facts.check] == [each.difference for each in any_size.comparisons]
    assert {(each.batch, each.img_size) for each in any_size.comparisons} >= {(1, (32, 32)), (3, (48, 56))}
    assert facts.preprocess == model.preprocess


def test_preprocess_json_is_an_image_processor_of_transformers(any_size: ExportReport, photos: list[Path]) -> None:
    from PIL import Image
    from transformers import ViTImageProcessor

    config = json.loads((any_size.path.parent / "preprocess.json").read_text())
    processor = ViTImageProcessor.from_dict(config)
    with Image.open(photos[0]) as photo:
        theirs = processor(photo.convert("RGB"), return_tensors="np")["pixel_values"]
    ours = open_exported(any_size.path).prepare(photos[0])
    assert theirs.shape == ours.shape
    assert np.abs(theirs.astype(int) - ours).mean() < 3  # they round the crop in another way


def test_nothing_is_written_over_and_nothing_is_left(any_size: ExportReport, model: MAE, tmp_path: Path) -> None:
    before = any_size.path.read_bytes()
    with pytest.raises(ArgumentError, match="overwrite"):
        export(model, any_size.path)
    assert any_size.path.read_bytes() == before
    (tmp_path / "preprocess.json").write_text("{}")
    with pytest.raises(ArgumentError, match=r"preprocess\.json is there already"):
        export(model, tmp_path / "new.pt2")
    assert [path.name for path in tmp_path.iterdir()] == ["preprocess.json"]


@pytest.mark.parametrize("suffix", [".onnx", ".pt2", ".xml"])
def test_a_foreign_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"text{suffix}"
    path.write_text("no graph")
    with pytest.raises(DataError, match="cannot be opened"):
        open_exported(path, trust=True)


def test_weights_that_are_not_next_to_their_file_are_named(
    model: MAE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(model, tmp_path / "small.xml", batch=1, img_size=(32, 32)).path.with_suffix(".bin").unlink()
    with pytest.raises(SourceMissingError, match=r"small\.bin is not next to it"):
        open_exported(tmp_path / "small.xml")
    monkeypatch.setattr("maezoo.exporting.formats._LARGEST", 0)
    export(model, tmp_path / "small.onnx", batch=1, img_size=(32, 32))
    (tmp_path / "small.onnx.data").unlink()
    with pytest.raises(SourceMissingError, match=r"small\.onnx\.data"):
        open_exported(tmp_path / "small.onnx")


def test_a_folder_is_not_written_over(model: MAE, tmp_path: Path) -> None:
    (tmp_path / "small.onnx").mkdir()
    with pytest.raises(ArgumentError, match="is a folder"):
        export(model, tmp_path / "small.onnx", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["small.onnx"]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("a.txt", {}, "onnx: onnx"),
        ("a.onnx", {"format": "torch"}, r"ends in \.pt2"),
        ("a.onnx", {"format": "aotinductor"}, r"ends in \.pt2"),
        ("a.onnx", {"precision": "bfloat16"}, "float32, float16, int8"),
        ("a.onnx", {"img_size": (33, 32)}, "nearest valid size is 32x32"),
        ("a.onnx", {"img_size": "big"}, "height, width"),
        ("a.onnx", {"batch": 0}, "1 to 4096"),
        ("a.onnx", {"pool": "max"}, "pool is one of"),
        ("a.onnx", {"task": "maps", "layers": (7,)}, "blocks 0 to 0"),
    ],
)
def test_wrong_arguments_are_named_before_any_work(
    model: MAE, tmp_path: Path, name: str, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises((ValueError, IndexError), match=message):
        export(model, tmp_path / "out" / name, **arguments)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
