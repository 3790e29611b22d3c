"""Features of bands, sounds and texts: from files to an accuracy, and a probe that reads such files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import maezoo
from maezoo.cli import app
from maezoo.evaluation import Probe, cross_validate, knn
from maezoo.images.preprocessing import Preprocessing
from tests.api.test_fields import model_of
from tests.images.test_bands import S2, write_tif

LABELS = ("high", "low")


def run(*arguments: object, code: int = 0) -> str:
    answer = CliRunner().invoke(app, [*map(str, arguments)])
    assert answer.exit_code == code, answer.output
    return answer.stdout if code == 0 else str(answer.exception)


def write_files(root: Path, write: Callable[[Path, str, int], object]) -> None:
    """Write 10 files of each label to train on, and 4 to test."""
    for part, numbers in (("train", range(10)), ("test", range(10, 14))):
        for label in LABELS:
            (root / part / label).mkdir(parents=True)
            for number in numbers:
                write(root / part / label / str(number), label, number)


def write_scene(path: Path, label: str, number: int) -> None:
    mean = {"high": 6_000, "low": 600}[label]
    values = np.random.default_rng(number).normal(mean, mean / 8, (32, 32, 13)).clip(1, 9_999).astype(np.uint16)
    if number % 2:
        write_tif(path.with_suffix(".tif"), values[:, :, ::-1], S2[::-1])  # in another order, with names
    else:
        np.save(path.with_suffix(".npy"), values)


def write_sound(path: Path, label: str, number: int) -> None:
    soundfile = pytest.importorskip("soundfile")
    tone = np.sin(2 * np.pi * {"high": 3_000, "low": 300}[label] * np.arange(9_000) / 16_000)
    noise = np.random.default_rng(number).normal(0, 0.02, 9_000)
    soundfile.write(path.with_suffix((".wav", ".flac")[number % 2]), 0.3 * tone + noise, 16_000)


def write_text(path: Path, label: str, number: int) -> None:
    path.with_suffix(".txt").write_text(f"{number} {'MMMM' if label == 'high' else '....'}", encoding="utf-8")


@pytest.mark.parametrize(
    ("write", "rule", "channels"),
    [
        (write_scene, Preprocessing((32, 32), mean=(0.1,) * 13, std=(0.2,) * 13, bands=S2, window=(0, 10_000)), 13),
        (write_sound, Preprocessing((32, 128), mean=(-4.3,), std=(9.1,), kind="sound"), 1),
    ],
)
def test_from_files_of_a_field_to_an_accuracy_and_a_probe(
    tmp_path: Path, write: Any, rule: Preprocessing, channels: int
) -> None:
    write_files(tmp_path, write)
    model = model_of(rule, channels)
    name = f"local-dir:{model.save_pretrained(tmp_path / 'model')}"
    train, test, probe = tmp_path / "train-features", tmp_path / "test-features", tmp_path / "probe.safetensors"
    options = ("-m", name, "--labels", "--pool", "mean", "--workers", 0, "--dtype", "float32")
    run("extract", tmp_path / "train", train, *options)
    maezoo.extract(tmp_path / "test", test, model=name, labels=True, pool="mean", workers=0, dtype="float32")
    assert json.loads(run("eval", "knn", train, test, "-k", 5, "--json"))["accuracy"] == 1
    assert json.loads(run("eval", "linear", train, test, "--save", probe, "--json"))["accuracy"] == 1
    assert cross_validate(train, knn, folds=3, k=5).total == 20
    stored = json.loads(run("eval", "apply", probe, test, "--json"))
    files = json.loads(run("eval", "apply", probe, tmp_path / "test", "--json"))
    assert [row["predicted"] for row in files] == ["high"] * 4 + ["low"] * 4
    assert [row["probability"] for row in files] == pytest.approx([row["probability"] for row in stored], abs=1e-4)
    first = sorted((tmp_path / "test" / "low").iterdir())[0]
    assert Probe.load(probe).predict_images(first).predicted.tolist() == ["low"]
    assert Probe.load(probe).predict_images([first], model=maezoo.create(name, device="cpu")).predicted.tolist() == [
        "low"
    ]
    (tmp_path / "empty").mkdir()
    message = run("eval", "apply", probe, tmp_path / "empty", code=1)
    assert "files that the model reads" in message
    assert ".npy" in message


def test_texts_are_embedded_by_features_and_a_probe_reads_them(tmp_path: Path) -> None:
    write_files(tmp_path, write_text)
    rule = Preprocessing((16, 320), "squash", mean=(0.5,) * 3, std=(0.5,) * 3, kind="text")
    folder = model_of(rule, 3, resampling="leading").save_pretrained(tmp_path / "model")
    names = {part: tmp_path / f"{part}.npz" for part in ("train", "test")}
    for part, output in names.items():
        texts = sorted((tmp_path / part).glob("*/*.txt"))
        run("features", *texts, "-o", output, "-m", f"local-dir:{folder}", "--pool", "mean")
    probe = tmp_path / "probe.safetensors"
    score = run("eval", "linear", names["train"], names["test"], "--labels", "folder", "--save", probe, "--json")
    assert json.loads(score)["accuracy"] == 1
    applied = json.loads(run("eval", "apply", probe, tmp_path / "test", "--json"))
    assert [row["predicted"] for row in applied] == ["high"] * 4 + ["low"] * 4
    assert Probe.load(probe).predict_images("13 ....").predicted.tolist() == ["low"]
    refused = run("extract", tmp_path / "train", tmp_path / "out", "-m", f"local-dir:{folder}", code=1)
    assert "maezoo features" in refused
