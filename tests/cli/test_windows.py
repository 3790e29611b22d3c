"""`--window` of the commands that look at images."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import maezoo
from maezoo.cli import app


@pytest.fixture
def scans(tmp_path: Path) -> list[str]:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        values = np.random.default_rng(number).integers(0, 4096, (6, 6)).astype(np.float32)
        large = Image.fromarray(values).resize((96, 96), Image.Resampling.BILINEAR)
        Image.fromarray(np.asarray(large).astype(np.uint16)).save(path)
    return [str(path) for path in paths]


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return str(done.stdout)


def test_features_are_those_of_the_model_with_this_window(
    scans: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for text, window in (("percentiles", "percentiles"), ("-160,4000", (-160, 4000)), ("0,1e3", (0, 1000.0))):
        run("features", *scans, "-o", tmp_path / "x.npz", "--window", text)
        model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu", window=window)  # type: ignore[arg-type]
        with np.load(tmp_path / "x.npz") as written:
            assert np.allclose(written["features"], model.features(scans), atol=1e-5)
            assert str(written["window"]) == str(model.preprocess.window)
    assert not caplog.records


def test_a_command_tells_once_of_dark_pictures(
    scans: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    commands = (["features", *scans, "-o", tmp_path / "x.csv"], ["reconstruct", *scans, "-o", tmp_path / "out"])
    for command in commands:
        caplog.clear()
        run(*command)
        assert ["--window percentiles" in record.getMessage() for record in caplog.records] == [True]


def test_reconstruct_and_sweep_use_it(scans: list[str], tmp_path: Path) -> None:
    def loss(*options: str) -> float:
        return float(json.loads(run("reconstruct", scans[0], "-o", tmp_path / "x.png", "--json", *options))[0]["loss"])

    assert 10 * loss() < loss("--window", "auto")
    pytest.importorskip("matplotlib")
    options = ("--ratio", "0.5", "--strategy", "random", "--seeds", "1", "--json", "-o", tmp_path / "s.png")
    dark, seen = (json.loads(run("sweep", scans[0], *options, *more))[0] for more in ([], ["--window", "auto"]))
    assert 10 * dark["error"]["random"][0] < seen["error"]["random"][0]


@pytest.mark.parametrize("text", ["percentile", "5,1", "5", "a,b", "1,2,3", "", "nan,1", "0,inf"])
def test_what_is_no_window_is_wrong_usage(text: str, scans: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["features", *scans, "-o", str(tmp_path / "x.npz"), "--window", text])
    assert done.exit_code == 2
    assert "full, auto, percentiles, nor two numbers LOW,HIGH" in " ".join(done.stderr.split())
