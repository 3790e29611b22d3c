"""`maezoo pretrain` with what watches it, and `maezoo runs show`, as users run them."""

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.test_cli import run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, photos: list[Path]) -> Path:
    """A run of two steps with probes and pictures."""
    place = tmp_path_factory.mktemp("runs")
    for number, photo in enumerate(photos[:4]):
        with Image.open(photo) as image:
            for part in ("fit", "test", "all"):
                folder = place / part / ("even", "odd")[number % 2]
                folder.mkdir(parents=True, exist_ok=True)
                image.convert("RGB").resize((120, 110 + number)).save(folder / f"{part}-{number}.png")
    sets = ("--probe", place / "fit", place / "test", "--pictures", 1)
    numbers = ("--views", 4, "--batch-size", 2, "--precision", "float32", "--device", "cpu")
    done = run("pretrain", place / "all", "-o", place / "a run", *numbers, *sets)
    assert done.returncode == 0, done.stderr
    return place


def test_a_run_is_shown_and_drawn(trained: Path) -> None:
    shown = run("runs", "show", trained / "a run", "-o", trained / "curves.png")
    assert shown.returncode == 0, shown.stderr
    facts = dict(row.split("\t") for row in shown.stdout.splitlines())
    assert facts["state"] == "finished, pretrain mae_vit_tiny"
    assert facts["steps"] == "2 of 2, 4 images"
    assert {"loss", "kNN", "linear probe", "held-out loss", "rate", "gradient norm", "speed", "checkpoint"} <= set(
        facts
    )
    with Image.open(trained / "curves.png") as curves:
        assert curves.width > 800
    assert len(list((trained / "a run" / "pictures").glob("*.png"))) == 3


def test_several_runs_and_json(trained: Path) -> None:
    other = trained / "other"
    other.mkdir()
    (other / "log.jsonl").write_text('{"step": 5, "steps": 10, "loss": 0.5}\n{"step": 6, "st')
    shown = run("runs", "show", trained / "a run", other, "-o", trained / "both.svg")
    assert shown.returncode == 0, shown.stderr
    assert [row.split("\t")[:3] for row in shown.stdout.splitlines()] == [
        ["a run", "finished", "2/2"],
        ["other", "stopped", "5/10"],
    ]
    records = json.loads(run("runs", "show", trained / "a run", other, "--json").stdout)
    assert [record["loss"] for record in records][1] == 0.5
    assert records[0]["scores"]["probe_knn"]["first"][0] == 0


def test_errors_are_one_line(trained: Path) -> None:
    for arguments, message in (
        (("runs", "show", trained / "all"), "holds no run"),
        (("runs", "show", trained / "a run", "-o", trained / "curves.txt"), "must end in"),
        (("pretrain", trained / "all", "-o", trained / "x", "--log", "tensorbord"), "'tensorboard'"),
        (
            ("pretrain", trained / "all", "-o", trained / "x", "--batch-size", 2, "--resume-from", "7"),
            "no checkpoint of step 7",
        ),
    ):
        done = run(*arguments)
        assert done.returncode in (1, 2), done.stdout
        assert message in done.stderr
