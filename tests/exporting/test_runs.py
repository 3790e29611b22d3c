"""An exported file where torch is not installed, and places where none can be written."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from maezoo.api.mae import MAE
from maezoo.errors import DiskFullError, MissingExtraError
from maezoo.exporting import ExportReport, export

WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; from maezoo.cli import main; main()"
DOCS = Path(__file__).parents[2] / "docs" / "export.md"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_TORCH, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8")


def test_the_command_runs_a_file_without_torch(
    any_size: ExportReport, model: MAE, photos: list[Path], tmp_path: Path
) -> None:
    done = run("run", any_size.path, *photos[:2], "-o", tmp_path / "out.npz")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz") as written:
        assert np.abs(written["features"] - model.features(photos[:2]).numpy()).max() < 1e-4
        assert written["images"].tolist() == [str(path) for path in photos[:2]]


def test_masks_need_torch_and_that_is_said(masked: Path, photos: list[Path]) -> None:
    done = run("run", masked, photos[0])
    assert done.returncode != 0
    assert "pip install torch" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_picture_is_named_and_the_others_are_done(
    any_size: ExportReport, photos: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    done = run("run", any_size.path, tmp_path / "broken.jpg", photos[0])
    assert done.returncode == 1
    assert "broken.jpg" in done.stderr
    assert "1 of 2 images failed" in done.stderr
    assert re.match(r".*\.jpg  features 32: -?\d", done.stdout)


def test_the_lines_of_the_docs_need_no_maezoo(
    any_size: ExportReport, model: MAE, photos: list[Path], tmp_path: Path
) -> None:
    lines = re.search(r"^session = .*?^features = [^\n]*", DOCS.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert lines
    code = lines[0].replace("mae.onnx", any_size.path.as_posix()).replace("photos/cat.jpg", photos[0].as_posix())
    head = "import sys; sys.modules['torch'] = sys.modules['maezoo'] = None; import json, numpy, onnxruntime\n"
    tail = f"\nnumpy.save({str(tmp_path / 'x.npy')!r}, features)"
    program = f"{head}from PIL import Image, ImageOps\n{code}{tail}"
    subprocess.run([sys.executable, "-c", program], check=True)
    assert np.abs(np.load(tmp_path / "x.npy") - model.features(photos[0]).numpy()).max() < 1e-4


def test_a_missing_extra_is_named_with_its_command(model: MAE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    lacking = {"onnxscript", "openvino"}
    monkeypatch.setattr("maezoo.exporting.settings.find_spec", lambda name: None if name in lacking else found(name))
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'maezoo[export]'")):
        export(model, tmp_path / "a.onnx")
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'maezoo[openvino]'")):
        export(model, tmp_path / "a.xml")


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="folders that cannot be written")
def test_a_folder_that_cannot_be_written_is_named_at_once(model: MAE, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match=r"a\.pt2"):
            export(model, tmp_path / "a.pt2")
    finally:
        tmp_path.chmod(0o700)


def test_a_place_that_is_a_file_is_named(model: MAE, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file"):
        export(model, tmp_path / "file" / "a.pt2")


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
@pytest.mark.parametrize("name", ["a.pt2", "a.onnx"])
def test_a_full_disk_leaves_nothing(model: MAE, tmp_path: Path, name: str) -> None:
    import resource
    import signal

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(DiskFullError, match=r"cannot be written"):
            export(model, tmp_path / name, batch=1, img_size=(32, 32))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert not list(tmp_path.iterdir())
