"""`maezoo finetune`, `classify` and `eval classify`, as users run them."""

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.test_cli import run


@pytest.fixture
def pets(tmp_path: Path, photos: list[Path]) -> Path:
    """Two classes, six crops each, one of them broken."""
    for number, photo in enumerate(photos[:2]):
        folder = tmp_path / "pets" / ("cat", "dog")[number]
        folder.mkdir(parents=True)
        with Image.open(photo) as image:
            for index in range(6):
                side = min(image.size) - 10 * index
                image.crop((0, 0, side, side)).resize((110, 110)).convert("RGB").save(folder / f"{index}.jpg")
    (tmp_path / "pets" / "dog" / "5.jpg").write_bytes(b"no picture")
    return tmp_path / "pets"


def test_from_a_folder_to_names(pets: Path, tmp_path: Path) -> None:
    out = tmp_path / "a run"
    options = ("-o", out, "--epochs", 2, "--batch-size", 4, "--precision", "float32")
    done = run("finetune", pets, *options)
    assert done.returncode == 0, done.stderr
    assert "val top-1" in done.stdout
    assert f"maezoo classify '{out}'" in done.stdout
    assert "1 image could not be read" in done.stderr
    named = run("classify", out, pets / "cat" / "0.jpg", pets / "dog" / "5.jpg", pets / "dog" / "0.jpg", "--json")
    assert named.returncode == 1
    assert "5.jpg" in named.stderr
    records = json.loads(named.stdout)
    assert [Path(record["image"]).parent.name for record in records] == ["cat", "dog"]
    for record in records:
        assert {each["label"] for each in record["classes"]} == {"cat", "dog"}
        assert sum(each["probability"] for each in record["classes"]) == pytest.approx(1, abs=1e-5)
    score = run("eval", "classify", out, pets, "--json", "--confusion", tmp_path / "matrix.png")
    assert score.returncode == 0, score.stderr
    numbers = json.loads(score.stdout)
    assert (numbers["total"], numbers["classes"], numbers["top5"]) == (11, 2, 1.0)
    low, high = numbers["interval"]
    assert low <= numbers["accuracy"] <= high
    assert (tmp_path / "matrix.png").stat().st_size > 1000
    other = run("finetune", pets, *options, "--seed", 1)
    assert other.returncode == 1
    assert "seed was 0, now 1" in other.stderr


def test_errors_are_one_line(pets: Path, tmp_path: Path) -> None:
    for arguments, code, message in (
        (("finetune", pets / "cat", "-o", tmp_path / "x"), 1, "none of the 6 images"),
        (("finetune", pets, "-o", tmp_path / "x", "--tune", "some"), 2, "tune='some'"),
        (("finetune", pets, "-o", tmp_path / "x", "--model", "mae_vit_tini"), 1, "Did you mean"),
        (("classify", pets, pets / "cat" / "0.jpg"), 1, "no config.json"),
    ):
        done = run(*arguments)
        assert done.returncode == code, done.stdout
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "x" / "model.safetensors").exists()
