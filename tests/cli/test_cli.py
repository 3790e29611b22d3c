"""The command line through its front door: real processes, real files."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from safetensors import safe_open

import maezoo
from maezoo.cli import app


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `maezoo …` as a shell would."""
    program = Path(sys.executable).with_name("maezoo")
    command = [str(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False, encoding="utf-8")


def test_version_and_help_say_what_there_is() -> None:
    assert run("--version").stdout.strip() == f"maezoo {maezoo.__version__}"
    shown = run("--help")
    assert shown.returncode == 0
    for command in typer.main.get_command(app).commands:  # type: ignore[attr-defined]
        assert re.search(rf"^ .* {command}  +[A-Z].*[.]$", shown.stdout, re.MULTILINE), command
    assert "..." not in shown.stdout.partition("\n")[2]
    lines = shown.stdout.splitlines()
    assert len(lines) <= 29, "one line of a window of 30 is the prompt's"
    assert max(map(len, lines)) <= 80
    assert run().returncode == 2
    assert run("fly").returncode == 2
    wrong = run("features", "x.jpg", "--pool", "max")
    assert wrong.returncode == 2
    assert "Invalid value for '--pool': 'max' is not one of 'cls', 'mean'" in wrong.stderr


def test_list() -> None:
    names = [entry["name"] for entry in json.loads(run("list", "--json").stdout)]
    assert names == maezoo.list_pretrained()
    assert run("list").stdout.count("normpix") >= 3
    assert len(json.loads(run("list", "*tiny*", "--json").stdout)) == 1
    assert run("list", "--markdown").stdout.startswith("| name | params |")


def test_info() -> None:
    data = json.loads(run("info", "mae_vit_base", "--json").stdout)
    assert data["sha256"] == "479dcef4bd5df06259399027b789f21e9d9a1b79f37155a64176d55bc26fdae8"
    assert data["variant"]["embed_dim"] == 768
    assert data["this_machine"]["device"]
    text = run("info", "mae_vit_large.in1k_normpix").stdout
    assert "303,301,632" in text
    assert "cc-by-nc-4.0" in text


def test_errors_are_one_line_and_exit_code_1() -> None:
    done = run("info", "mae_vit_bigg")
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Did you mean" in done.stderr


def test_reconstruct_with_no_options(tmp_path: Path, photos: list[Path]) -> None:
    shutil.copy(photos[0], tmp_path / "photo.jpg")
    done = run("reconstruct", "photo.jpg", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "photo.mae.png" in done.stdout
    with Image.open(tmp_path / "photo.mae.png") as picture:
        assert picture.size == (296, 96)
    assert sorted(path.name for path in tmp_path.glob("photo*")) == ["photo.jpg", "photo.mae.png"]


def test_reconstruct_many_with_one_broken(tmp_path: Path, photos: list[Path]) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no")
    arguments = ("--seed", 3, "--mask-ratio", 0.5, "--strategy", "grid", "--json", "-o", tmp_path / "out")
    done = run("reconstruct", photos[0], tmp_path / "broken.jpg", photos[1], *arguments)
    assert done.returncode == 1
    assert "broken.jpg" in done.stderr
    records = json.loads(done.stdout)
    assert [Path(record["image"]) for record in records] == [photos[0], photos[1]]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{p.stem}.mae.png" for p in photos[:2]]
    assert all(record["model"] == "mae_vit_tiny.photos_pixel" for record in records)


def test_pictures_of_one_name_do_not_overwrite_each_other(tmp_path: Path, photos: list[Path]) -> None:
    for folder, source in zip("ab", photos, strict=False):
        (tmp_path / folder).mkdir()
        shutil.copy(source, tmp_path / folder / "x.jpg")
    done = run("reconstruct", tmp_path / "a" / "x.jpg", tmp_path / "b" / "x.jpg", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    one, other = tmp_path / "out" / "x.mae.png", tmp_path / "out" / "x-2.mae.png"
    assert one.read_bytes() != other.read_bytes()


def test_reconstruct_wrong_usage(photos: list[Path], tmp_path: Path) -> None:
    assert run("reconstruct", photos[0], "--mask-ratio", 1.5).returncode == 2
    assert run("reconstruct", photos[0], photos[1], "-o", tmp_path / "one.png").returncode == 2
    assert run("reconstruct").returncode == 2


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".safetensors", ".csv"])
def test_features_in_every_format(suffix: str, tmp_path: Path, photos: list[Path]) -> None:
    output = tmp_path / f"features{suffix}"
    done = run("features", *photos, "-o", output, "--pool", "cls+mean", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"] == len(photos)
    model = maezoo.create("mae_vit_tiny", pretrained=True)
    expected = model.features(photos, pool="cls+mean").cpu().numpy()
    names = [str(path) for path in photos]
    if suffix == ".npz":
        with np.load(output) as file:
            found, saved = file["features"], file["images"].tolist()
    elif suffix == ".npy":
        found, saved = np.load(output), names
    elif suffix == ".safetensors":
        with safe_open(output, "np") as file:
            found, saved = file.get_tensor("features"), json.loads(file.metadata()["images"])
    else:
        with output.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        found, saved = np.array(rows[1:])[:, 1:].astype(np.float32), [row[0] for row in rows[1:]]
    assert saved == names
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_features_leave_broken_images_out(tmp_path: Path, photos: list[Path]) -> None:
    (tmp_path / "broken.jpg").touch()
    done = run("features", photos[0], tmp_path / "broken.jpg", photos[1], "-o", tmp_path / "f.npz")
    assert done.returncode == 1
    assert "the file is empty" in done.stderr
    with np.load(tmp_path / "f.npz") as file:
        assert file["images"].tolist() == [str(photos[0]), str(photos[1])]
    assert run("features", photos[0], "-o", tmp_path / "f.txt").returncode == 2


def test_pretrain_and_use(tmp_path: Path, photos: list[Path]) -> None:
    options = ("--views", 16, "--batch-size", 4, "--license", "cc0-1.0", "--optimizer", "adamw")
    done = run("pretrain", photos[0].parent, "-o", tmp_path / "run", *options)
    assert done.returncode == 0, done.stderr
    assert "loss" in done.stderr
    model = tmp_path / "run" / "model.safetensors"
    assert maezoo.create("mae_vit_tiny", checkpoint=model).target == "pixel"
    again = run("pretrain", photos[0].parent, "-o", tmp_path / "run", *options)
    assert again.returncode == 0
    other = run("pretrain", photos[0].parent, "-o", tmp_path / "run", *options, "--seed", 1)
    assert other.returncode == 1
    assert "seed was 0, now 1" in other.stderr
    assert run("pretrain", tmp_path / "none", "-o", tmp_path / "x").returncode == 66


def test_optimize_tells_what_is_fastest_and_remembers_it() -> None:
    first = run("optimize", "--engine", "pytorch")
    assert first.returncode == 0, first.stderr
    assert "float32 on" in first.stdout
    assert "-> larger batches:" in first.stdout
    again = json.loads(run("optimize", "mae_vit_tiny", "--engine", "pytorch", "--json").stdout)
    assert again["remembered"]
    assert {trial["engine"] for trial in again["tasks"]["features"]["trials"]} <= {"eager", "onednn"}
    wrong = run("optimize", "--engine", "tensorrt")
    assert wrong.returncode == 2
    assert "engine is 'auto', 'pytorch'" in wrong.stderr


def test_many_images_are_worth_an_engine_and_get_the_same_features(tmp_path: Path, photos: list[Path]) -> None:
    copies = [shutil.copy(photos[index % len(photos)], tmp_path / f"{index:03}.jpg") for index in range(520)]
    done = run("features", *copies, "-o", tmp_path / "many.npy")
    assert done.returncode == 0, done.stderr
    expected = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu").features(photos)
    found = np.load(tmp_path / "many.npy")
    assert found.shape == (520, 192)
    np.testing.assert_allclose(found[: len(photos)], expected.numpy(), atol=1e-4)
    assert list((Path(os.environ["HF_HOME"]) / "maezoo" / "engines").iterdir())
