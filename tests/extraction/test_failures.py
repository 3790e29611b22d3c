"""What is wrong with an image's bytes is remembered; all else is tried again by the same command."""

import asyncio
import errno
import sys
from typing import ClassVar

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import maezoo
from maezoo.cli import app

fsspec = pytest.importorskip("fsspec")
SETTINGS = {"workers": 0, "batch_size": 8, "shard_size": 15}


class Flaky(fsspec.get_filesystem_class("memory")):
    """Storage whose files may fail to open."""

    protocol = "flaky"
    store: ClassVar[dict] = {}
    pseudo_dirs: ClassVar[list] = [""]
    errors: ClassVar[dict[str, BaseException]] = {}

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("flaky://", "memory://"))

    def _open(self, path, mode="rb", **settings):
        for name, error in self.errors.items():
            if name in path:
                raise error
        return super()._open(path, mode, **settings)


@pytest.fixture
def source(folder):
    """Forty images behind storage that can be told what fails."""
    fsspec.register_implementation("flaky", Flaky, clobber=True)
    Flaky.store.clear()
    Flaky.errors.clear()
    storage = Flaky()
    for path in sorted(folder.rglob("*.png")):
        storage.pipe(f"/photos/{path.name}", path.read_bytes())
    yield "flaky://photos"
    Flaky.errors.clear()


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "input/output error"),
        OSError(errno.ESTALE, "stale file handle"),
        OSError(errno.EMFILE, "too many open files"),
        TimeoutError("no answer"),
        ConnectionResetError("reset by peer"),
        asyncio.TimeoutError(),
    ],
    ids=lambda error: type(error).__name__ + str(getattr(error, "errno", "")),
)
def test_what_may_pass_is_pending_until_the_same_command_reads_it(source, tmp_path, small, rows, failures, error):
    maezoo.extract(source, tmp_path / "whole", model=small, **SETTINGS)
    Flaky.errors.update({"0007": error, "0112": error})
    result = maezoo.extract(source, tmp_path / "out", model=small, **SETTINGS)
    assert (result.rows, result.errors, result.pending) == (38, 0, 2)
    assert (result.complete, result.stopped) == (False, False)
    assert failures(tmp_path / "out") == []
    waiting = pq.read_table(tmp_path / "out" / "__maezoo__" / "pending.parquet")
    assert waiting["id"].to_pylist() == ["0007.png", "0112.png"]
    Flaky.errors.pop("0007")
    assert maezoo.extract(source, tmp_path / "out", model=small, **SETTINGS).pending == 1
    Flaky.errors.clear()
    result = maezoo.extract(source, tmp_path / "out", model=small, **SETTINGS)
    assert (result.rows, result.errors, result.pending, result.complete, result.done) == (40, 0, 0, True, 1)
    assert rows(tmp_path / "out").equals(rows(tmp_path / "whole"))
    assert not (tmp_path / "out" / "__maezoo__" / "pending.parquet").exists()


def test_a_row_outlives_a_fault_that_comes_later(source, tmp_path, small, rows):
    maezoo.extract(source, tmp_path / "whole", model=small, **SETTINGS)
    Flaky.errors["0007"] = OSError(errno.EIO, "input/output error")
    maezoo.extract(source, tmp_path / "out", model=small, **SETTINGS)
    Flaky.errors["0010"] = Flaky.errors.pop("0007")  # of the same batch
    assert maezoo.extract(source, tmp_path / "out", model=small, **SETTINGS).complete
    assert rows(tmp_path / "out")["id"].equals(rows(tmp_path / "whole")["id"])


def test_damaged_images_are_not_tried_again(damaged, tmp_path, small, failures):
    maezoo.extract(damaged, tmp_path / "out", model=small, **SETTINGS)
    before = failures(tmp_path / "out")
    result = maezoo.extract(damaged, tmp_path / "out", model=small, **SETTINGS)
    assert (result.done, result.errors, result.complete) == (0, 5, True)
    assert failures(tmp_path / "out") == before


def test_a_file_that_is_gone_is_an_error_until_it_is_back(folder, tmp_path, small, rows, failures):
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(str(path) for path in sorted(folder.rglob("*.png"))), encoding="utf-8")
    maezoo.extract(listed, tmp_path / "whole", model=small, **SETTINGS)
    picture, away = folder / "class3" / "0007.png", tmp_path / "away.png"
    picture.rename(away)
    result = maezoo.extract(listed, tmp_path / "out", model=small, **SETTINGS)
    assert (result.rows, result.errors, result.pending, result.complete) == (39, 1, 0, True)
    assert failures(tmp_path / "out")[0]["error"] == "FileNotFoundError"
    assert maezoo.extract(listed, tmp_path / "out", model=small, **SETTINGS).errors == 1
    away.rename(picture)
    result = maezoo.extract(listed, tmp_path / "out", model=small, **SETTINGS)
    assert (result.rows, result.errors, result.complete) == (40, 0, True)
    assert rows(tmp_path / "out").equals(rows(tmp_path / "whole"))


def test_a_format_that_needs_a_plug_in_says_which(folder, tmp_path, small, failures, monkeypatch):
    from PIL import Image

    Image.init()
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name not in ("AVIF", "HEIF")])
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99))
    maezoo.extract(folder, tmp_path / "out", model=small, **SETTINGS)
    (failure,) = failures(tmp_path / "out")
    assert "pip install pillow-heif" in failure["message"]


def test_a_plug_in_that_is_installed_is_used(folder, tmp_path, small, rows, failures, monkeypatch):
    from PIL import Image, ImageFile

    class Phone(ImageFile.ImageFile):
        format = "HEIF"

        def _open(self):
            self._mode, self._size, self.tile = "RGB", (4, 2), []

        def load(self):
            self.im = Image.new("RGB", self.size, "red").im
            return Image.Image.load(self)

    class PlugIn:
        @staticmethod
        def register_heif_opener():
            Image.register_open("HEIF", Phone, lambda start: start[8:12] == b"heic")

    Image.init()
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name not in ("AVIF", "HEIF")])
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setitem(sys.modules, "pillow_heif", PlugIn)
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99))
    maezoo.extract(folder, tmp_path / "out", model=small, **SETTINGS)
    assert failures(tmp_path / "out") == []
    assert "phone.heic" in rows(tmp_path / "out")["id"].to_pylist()


def test_a_run_without_a_single_row_fails(tmp_path):
    source = tmp_path / "pictures"
    source.mkdir()
    (source / "text.png").write_text("not an image", encoding="utf-8")
    command = ["extract", str(source), str(tmp_path / "out"), "--workers", "0", "--device", "cpu"]
    answer = CliRunner().invoke(app, command)
    assert (answer.exit_code, "0 rows" in answer.output) == (1, True)


def test_the_command_says_how_many_are_pending_and_what_to_run(source, tmp_path):
    Flaky.errors["0007"] = OSError(errno.EIO, "input/output error")
    command = ["extract", source, str(tmp_path / "out"), "--workers", "0", "--device", "cpu", "--limit", "9"]
    answer = CliRunner().invoke(app, command)
    assert answer.exit_code == 1
    assert "8 rows of 9 images" in answer.output
    assert "1 image could not be read for now" in answer.output
    Flaky.errors.clear()
    answer = CliRunner().invoke(app, command)
    assert (answer.exit_code, "9 rows of 9 images" in answer.output) == (0, True)
