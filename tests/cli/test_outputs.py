"""What commands write, and where: nothing over an input, no two to one place, nothing empty over something good."""

import csv
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from safetensors import safe_open
from typer.testing import CliRunner

from maezoo.checkpoints.convert import convert
from maezoo.cli import app
from maezoo.cli.feature_files import feature_file
from maezoo.cli.outputs import check_no_input, picture_targets
from maezoo.errors import ImageError, LayoutError

ODD = ["[red]x[bold].jpg", "a:cat:b.jpg", "two\nlines\r.jpg", "quo\"te,'.jpg", "half\udcff.jpg", "\u2028 ñ.jpg"]
posix = pytest.mark.skipif(sys.platform == "win32", reason="names that Windows refuses")


def targets(*images: str, output: str | None = "out") -> list[str]:
    found = picture_targets([Path(image) for image in images], output and Path(output))
    return [path.as_posix() for path in found]


def test_no_two_pictures_go_to_one_place() -> None:
    assert targets("a/x.jpg", "b/x.jpg", "c/x-2.jpg", "d/x.png") == [
        f"out/{name}.mae.png" for name in ("x", "x-2", "x-2-2", "x-3")
    ]
    assert targets("a/x.jpg", "a/x.png", output=None) == ["a/x.mae.png", "a/x-2.mae.png"]
    assert targets("a/x.jpg", "b/X.jpg") == ["out/x.mae.png", "out/X-2.mae.png"]  # one file to Windows and macOS
    assert targets("a/caf\u00e9.jpg", "b/cafe\u0301.jpg")[1] == "out/cafe\u0301-2.mae.png"
    assert targets("a/x.jpg", "a/../a/x.png", output=None) == ["a/x.mae.png", "a/../a/x-2.mae.png"]
    many = targets(*(f"{number}/x.jpg" for number in range(300)), *(f"{number}/x-2.jpg" for number in range(300)))
    assert len(set(many)) == 600


def test_no_picture_goes_over_an_input() -> None:
    assert targets("x.jpg", "x.mae.png", output=None) == ["x-2.mae.png", "x.mae.mae.png"]
    with pytest.raises(typer.BadParameter, match="would be written over"):
        targets("x.png", output="./x.png")
    with pytest.raises(typer.BadParameter, match="would be written over"):
        check_no_input(Path("a/../features.npy"), [Path("features.npy")])
    with pytest.raises(typer.BadParameter, match=r"take \.png"):
        targets("x.png", output="y.txt")


@posix
def test_links_are_followed_to_tell_places_apart(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "photo.jpg").touch()
    (tmp_path / "a" / "x.mae.png").symlink_to("photo.jpg")
    found = picture_targets([tmp_path / "a" / "photo.jpg", tmp_path / "a" / "x.jpg", tmp_path / "b" / "x.png"], None)
    assert [path.name for path in found] == ["photo.mae.png", "x-2.mae.png", "x-3.mae.png"]


def test_a_name_without_room_for_a_suffix_is_cut() -> None:
    found = targets(f"a/{'ß' * 125}.jpg", f"b/{'ß' * 125}.jpg")
    assert len(set(found)) == 2
    assert all(len(os.fsencode(Path(path).name)) <= 255 for path in found)


@posix
@pytest.mark.parametrize("suffix", [".csv", ".npz", ".safetensors"])
def test_odd_names_are_kept_in_every_format(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"features{suffix}"
    vectors = np.arange(2 * len(ODD), dtype=np.float32).reshape(-1, 2)
    with feature_file(path, 2, {"model": "local-dir:\udcff"}) as add:
        add(ODD[:1], vectors[:1])
        add(ODD[1:], vectors[1:])
    safe = [name.replace("\udcff", "\\udcff") for name in ODD]
    if suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))[1:]
        assert [row[0] for row in rows] == safe
        found = np.array([row[1:] for row in rows], dtype=np.float32)
    elif suffix == ".npz":
        with np.load(path) as file:
            assert file["images"].tolist() == ODD
            found = file["features"]
    else:
        with safe_open(path, "np") as file:
            assert json.loads(file.metadata()["images"]) == ODD
            found = file.get_tensor("features")
    np.testing.assert_array_equal(found, vectors)


@posix
def test_images_with_odd_names_cost_nothing(
    tmp_path: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ODD:
        shutil.copy(photos[0], name)
    done = CliRunner().invoke(app, ["features", *ODD, "-o", "[bold]x.csv"])
    assert done.exit_code == 0, done.output
    assert f"[bold]x.csv  {len(ODD)} x 192" in done.stdout
    done = CliRunner().invoke(app, ["reconstruct", *ODD, "-o", "[out]"])
    assert done.exit_code == 0, done.output
    assert len(list(Path("[out]").iterdir())) == len(ODD)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("[out]/[red]x[bold].mae.png  ")
    assert lines[1].startswith("[out]/a:cat:b.mae.png  ")
    assert lines[2].startswith(r"[out]/two\nlines\r.mae.png  ")


def test_nothing_good_is_replaced_by_nothing(tmp_path: Path) -> None:
    output = tmp_path / "features.csv"
    output.write_text("good")
    done = CliRunner().invoke(app, ["features", str(tmp_path / "none.jpg"), "-o", str(output)])
    assert isinstance(done.exception, ImageError)
    assert output.read_text() == "good"
    assert not list(tmp_path.glob(".features*"))


def test_an_output_that_cannot_be_written_is_known_before_the_work(tmp_path: Path, photos: list[Path]) -> None:
    (tmp_path / "file").touch()
    for command in ("features", "sweep"):
        output = tmp_path / "file" / ("x.csv" if command == "features" else "x.png")
        done = CliRunner().invoke(app, [command, str(tmp_path / "none.jpg"), "-o", str(output)])
        assert isinstance(done.exception, OSError)
        assert not isinstance(done.exception, ImageError)  # the image was not looked at


def test_convert_never_writes_over_what_it_reads(tmp_path: Path) -> None:
    source = tmp_path / "model.safetensors"
    shutil.copy(Path(__file__).parents[2] / "maezoo" / "checkpoints" / "mae_vit_tiny.safetensors", source)
    before = source.read_bytes()
    for output in (source, tmp_path):
        with pytest.raises(LayoutError, match="would be written over"):
            convert(source, output, encoder_only=True)
    assert source.read_bytes() == before


def test_a_tilde_is_the_home_in_every_path(tmp_path: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    import maezoo
    from maezoo.evaluation import read_features
    from maezoo.paths import user_path
    from maezoo.training import open_source

    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    (tmp_path / "photos").mkdir()
    shutil.copy(photos[0], tmp_path / "photos" / "x.jpg")
    model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
    assert model.save_pretrained("~/model") == tmp_path / "model"
    again = maezoo.create("mae_vit_tiny", checkpoint="~/model/model.safetensors", device="cpu")
    maezoo.create("local-dir:~/model", device="cpu")
    assert again.reconstruct("~/photos/x.jpg").save("~/strip.png") == tmp_path / "strip.png"
    convert("~/model", "~/timm.safetensors", to="timm", encoder_only=True)
    assert len(open_source("~/photos")) == 1
    assert CliRunner().invoke(app, ["features", "~/photos/x.jpg", "-o", "~/f.npz"]).exit_code == 0
    with np.load(tmp_path / "f.npz") as file:
        np.savez(tmp_path / "labelled.npz", features=file["features"], label=np.array(["x"]))
    assert len(read_features("~/labelled.npz").labels) == 1
    shutil.copy(Path(maezoo.__file__).parents[1] / "weights_manifest.json", tmp_path / "manifest.json")
    monkeypatch.setenv("MAEZOO_MANIFEST", "~/manifest.json")
    assert maezoo.list_pretrained()
    assert not Path("~").exists()
    assert user_path("~") == tmp_path


def test_each_image_is_decoded_once_beside_broken_ones(
    tmp_path: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from maezoo.api.mae import MAE

    (tmp_path / "broken.jpg").write_bytes(b"no")
    images = [str(path) for path in (photos[0], tmp_path / "broken.jpg", photos[1], photos[2])]
    decoded: list[str] = []
    prepare = MAE.prepare
    monkeypatch.setattr(MAE, "prepare", lambda self, image: decoded.append(str(image)) or prepare(self, image))
    done = CliRunner().invoke(app, ["features", *images, "-o", str(tmp_path / "f.npz")])
    assert done.exit_code == 1
    assert sorted(decoded) == sorted(images)
