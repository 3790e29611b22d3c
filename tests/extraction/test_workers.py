"""Processes that decode: what they need of the machine, and that they decode as this one would."""

import gc
import logging
import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageFile

import maezoo
from maezoo.errors import DataError, WorkerError

SETTINGS = {"batch_size": 8, "device": "cpu", "limit": 20}


class Stripes(ImageFile.ImageFile):
    """A format of three bytes: its name."""

    format = "STRIPES"

    def _open(self):
        self._mode, self._size, self.tile = "RGB", (4, 2), []

    def load(self):
        self.im = Image.new("RGB", self.size, "red").im
        return Image.Image.load(self)


def is_stripes(start):
    return start.startswith(b"|||")


def _extract_elsewhere(arguments):
    source, output = arguments
    with_log = logging.getLogger("maezoo.extraction.local")
    with_log.addHandler(logging.FileHandler(f"{output}.log"))
    return maezoo.extract(source, output, workers=2, **SETTINGS).rows


@pytest.mark.skipif(sys.platform != "linux", reason="mounts")
def test_shared_memory_is_not_needed(folder, tmp_path):
    python = f"import maezoo; maezoo.extract({str(folder)!r}, {str(tmp_path / 'out')!r}, workers=1, **{SETTINGS})"
    command = f'mount -t tmpfs -o size=4k tmpfs /dev/shm || exit 77; exec "{sys.executable}" -c "$0"'
    answer = subprocess.run(
        ["unshare", "-m", "sh", "-c", command, python], capture_output=True, text=True, check=False, timeout=120
    )
    if answer.returncode == 77 or "unshare failed" in answer.stderr:
        pytest.skip("mounting needs rights")
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "out" / "part-000000.parquet").exists()


def test_the_error_of_a_dead_process_is_collected_in_silence(folder, tmp_path, small, monkeypatch):
    def start_and_die(process):
        multiprocessing.process.BaseProcess.start(process)
        process.kill()
        process.join()

    monkeypatch.setattr(multiprocessing.get_context("spawn").Process, "start", start_and_die)
    with pytest.raises(WorkerError, match="workers=0"):
        maezoo.extract(folder, tmp_path / "out", model=small, workers=1, **SETTINGS)
    gc.collect()  # Python 3.13 and later warn of a buffer that is closed while something has a view of it


def test_a_daemonic_process_decodes_in_threads(folder, tmp_path, rows):
    maezoo.extract(folder, tmp_path / "whole", workers=0, **SETTINGS)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(_extract_elsewhere, [(str(folder), str(tmp_path / "out"))])
    assert found == 20
    assert "2 threads decode instead of processes" in Path(f"{tmp_path / 'out'}.log").read_text(encoding="utf-8")
    assert rows(tmp_path / "out")["id"].equals(rows(tmp_path / "whole")["id"])


@pytest.fixture
def odd(damaged, monkeypatch):
    """Pillow with settings and a plug-in of this process alone, and pictures that they decide about."""
    for name in ("ID", "OPEN"):
        monkeypatch.setattr(Image, name, type(getattr(Image, name))(getattr(Image, name)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3000)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    Image.register_open("STRIPES", Stripes, is_stripes)
    (damaged / "class0" / "0.png").write_bytes(b"|||")
    Image.new("RGB", (90, 90)).save(damaged / "class0" / "large.png")
    return damaged


def test_pillows_settings_and_plug_ins_reach_every_process(odd, tmp_path, small, rows, failures):
    settings = {"model": small, "batch_size": 8, "limit": 40}
    for workers in (0, 1):
        maezoo.extract(odd, tmp_path / str(workers), workers=workers, **settings)
    assert rows(tmp_path / "0").equals(rows(tmp_path / "1"))
    assert failures(tmp_path / "0") == failures(tmp_path / "1")
    assert "class0/0.png" in rows(tmp_path / "0")["id"].to_pylist()
    assert "class0/large.png" in [failure["id"] for failure in failures(tmp_path / "0")]


def test_a_plug_in_that_cannot_be_sent_is_used_by_threads(odd, tmp_path, small, rows, caplog):
    Image.register_open("STRIPES", Stripes, lambda start: start.startswith(b"|||"))
    with caplog.at_level(logging.WARNING):
        maezoo.extract(odd, tmp_path / "out", model=small, workers=2, batch_size=4, limit=9)
    assert "2 threads decode instead of processes" in caplog.text
    assert "class0/0.png" in rows(tmp_path / "out")["id"].to_pylist()


def test_another_bound_of_pillow_is_another_setting(odd, tmp_path, small, monkeypatch):
    maezoo.extract(odd, tmp_path / "out", model=small, workers=0, limit=9)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(DataError, match="max_image_pixels was 3000, now None"):
        maezoo.extract(odd, tmp_path / "out", model=small, workers=0, limit=9)
