"""From folders of pictures to an accuracy, by the commands alone."""

import io
import json
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from maezoo.cli import app

GUIDE = Path(__file__).parents[2] / "docs" / "evaluation.md"


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


def test_a_probe_is_scored_kept_and_applied(coloured):
    """All that the commands write; the same predictions from the stored features, from images and in Python."""
    from maezoo.evaluation import Probe

    for part in ("train", "test"):
        _run("extract", coloured / part, coloured / f"{part}-features", "--labels", "--pool", "mean", "--workers", 0)
    train, test, out = coloured / "train-features", coloured / "test-features", coloured / "out"
    names = {name: out / name for name in ("probe.safetensors", "predictions.csv", "confusion.png")}
    files = ("--save", "--predictions", "--confusion")
    options = [part for pair in zip(files, names.values(), strict=True) for part in pair]
    shown = _run("eval", "linear", train, test, "--per-class", *options)
    assert "linear 100.0% (95 % interval" in shown
    assert "2 classes, balanced accuracy 100.0%, AUC 1.000\nC = " in shown
    assert "chosen on a held-out fifth; converged" in shown
    assert "blue\t100.0%\t100.0%\t4" in shown
    with Image.open(names["confusion.png"]) as picture:
        assert picture.width > 200
    probe = names["probe.safetensors"]
    from_features = _run("eval", "apply", probe, test, "-o", out / "again.csv")
    assert from_features == ""
    assert (out / "again.csv").read_text() == names["predictions.csv"].read_text()
    from_images = json.loads(_run("eval", "apply", probe, coloured / "test", "--json"))
    assert [row["predicted"] for row in from_images] == ["blue"] * 4 + ["red"] * 4
    red = Probe.load(probe).predict_images(coloured / "test" / "red" / "0.png")
    assert red.probability[0] == pytest.approx(from_images[4]["probability"], abs=1e-4)
    (coloured / "bad.png").write_text("no")
    answer = CliRunner().invoke(app, ["eval", "apply", *map(str, [probe, coloured / "bad.png", coloured / "test"])])
    assert (answer.exit_code, answer.stdout.count("\n")) == (1, 8)
    assert "1 of 9 images failed" in answer.stderr


def test_one_folder_is_scored_in_folds(coloured):
    _run("extract", coloured / "train", coloured / "features", "--labels", "--pool", "mean", "--workers", 0)
    for method in ("knn", "linear"):
        score = json.loads(_run("eval", method, coloured / "features", "--folds", 4, "--seed", 1, "--json"))
        assert (score["total"], score["folds"], score["settings"]["seed"]) == (24, [1.0] * 4, 1)
        assert [each["support"] for each in score["per_class"]] == [12, 12]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["features"], "or score features alone with --folds 5"),
        (["features", "features", "--folds", "5"], "--folds splits TRAIN alone"),
        (["features", "--folds", "1"], "Invalid value for '--folds'"),
        (["features", "--folds", "5", "--confusion", "out.txt"], "must end in .png"),
        (["features", "--folds", "5", "--predictions", "out.tsv"], "ends in .csv"),
        (["features", "--folds", "5", "--save", "out.pkl"], "name it out.safetensors"),
        (["in.csv", "--folds", "5", "--predictions", "in.csv"], "would be written over"),
    ],
)
def test_wrong_usage_is_told_before_any_file_is_read(arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = CliRunner().invoke(app, ["eval", "linear", *arguments])
    assert answer.exit_code in (1, 2)
    assert says in f"{answer.output} {answer.exception}"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def pack(tmp_path):
    """Labelled pictures of three faint colours in one file, as `benchmarks.quality` reads them."""
    rng = np.random.default_rng(0)
    labels, encoded = np.arange(90) // 30, []  # sorted by class, as folders are
    for label in labels:
        colour = 120 + 6 * np.eye(3)[label] + rng.normal(0, 6, 3)
        file = io.BytesIO()
        pixels = rng.normal(colour, 40, (40, 48, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(file, "WEBP", quality=70)
        encoded.append(file.getvalue())
    np.savez(
        tmp_path / "eval.npz",
        blob=np.frombuffer(b"".join(encoded), np.uint8),
        offset=np.cumsum([0, *map(len, encoded)]),
        label=labels,
        split=(np.arange(90) % 5 > 2).astype(np.int8),
        classes=np.array(["a red", "b green", "c blue"]),
    )
    return tmp_path / "eval.npz"


@pytest.mark.skipif(not GUIDE.exists(), reason="an installed package has no docs beside it")
@pytest.mark.parametrize("pool", ["mean", "cls"])
def test_the_guides_way_gives_the_numbers_of_the_benchmark(pack, pool, monkeypatch):
    """Unpacked by the snippet, extracted and scored by the commands: the same as in memory."""
    import maezoo
    from benchmarks.quality.packs import read_pack
    from benchmarks.quality.scores import score_vectors

    monkeypatch.chdir(pack.parent)
    (snippet,) = re.findall(
        r"\n((?:    .*\n|\n)*    .*np\.load(?:.*\n)(?:    .*\n|\n)*)", GUIDE.read_text(encoding="utf-8")
    )
    exec(textwrap.dedent(snippet), {})
    for part in ("train", "test"):
        _run("extract", f"photos/{part}", part, "--labels", "--dtype", "float32", "--pool", pool, "--device", "cpu")
    images, labels, test = read_pack(pack)
    vectors = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu").features(images, pool=pool).numpy()
    for expected in score_vectors(vectors, labels, test):
        score = json.loads(_run("eval", expected.method, "train", "test", "--json"))
        assert (score["correct"], score["total"]) == (expected.correct, expected.total)
        assert 0.34 < score["accuracy"] < 0.99  # pictures that are neither hopeless nor plain


def test_features_of_two_pools_are_not_compared(coloured):
    from maezoo.errors import DataError

    _run("extract", coloured / "train", coloured / "a", "--labels", "--workers", 0)
    _run("extract", coloured / "test", coloured / "b", "--labels", "--workers", 0, "--exact")
    answer = CliRunner().invoke(app, ["eval", "knn", str(coloured / "a"), str(coloured / "b")])
    assert isinstance(answer.exception, DataError)
    assert "different exact: False and True" in str(answer.exception)
