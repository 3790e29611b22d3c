"""From folders of pictures to an accuracy, by the commands alone."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from maezoo.cli import app


def _run(*arguments):
    answer = CliRunner().invoke(app, [*map(str, arguments)])
    assert answer.exit_code == 0, answer.output
    return answer.stdout


@pytest.fixture
def coloured(tmp_path):
    """Two folders, train and test, of red and of blue pictures."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 12), ("test", 4)):
        for label, colour in (("red", (200, 30, 30)), ("blue", (30, 30, 200))):
            (tmp_path / part / label).mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(rng.normal(colour, 20, (32, 32, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / label / f"{number}.png")
    return tmp_path


def test_extract_then_eval(coloured):
    for part in ("train", "test"):
        _run("extract", coloured / part, coloured / f"{part}-features", "--labels", "--pool", "mean", "--workers", 0)
    for method in ("knn", "linear"):
        score = json.loads(_run("eval", method, coloured / "train-features", coloured / "test-features", "--json"))
        assert (score["method"], score["accuracy"], score["total"], score["classes"]) == (method, 1.0, 8, 2)
        low, high = score["interval"]
        assert low <= 1.0 <= high


def test_features_of_two_pools_are_not_compared(coloured):
    from maezoo.errors import DataError

    _run("extract", coloured / "train", coloured / "a", "--labels", "--workers", 0)
    _run("extract", coloured / "test", coloured / "b", "--labels", "--workers", 0, "--exact")
    answer = CliRunner().invoke(app, ["eval", "knn", str(coloured / "a"), str(coloured / "b")])
    assert isinstance(answer.exception, DataError)
    assert "different exact: False and True" in str(answer.exception)
