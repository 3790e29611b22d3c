"""Going on: after an end that was wanted, after one that was not, and never onto something else."""

import contextlib
import errno
import logging
import multiprocessing
import os
import subprocess
import sys
import tarfile

import pytest
from PIL import Image

import maezoo
from maezoo.errors import DataError, DiskFullError, MissingExtraError

SETTINGS = {"workers": 0, "batch_size": 8, "shard_size": 30}


class _StopError(Exception):
    pass


def _stop_after(images):
    def report(progress):
        if progress.done >= images:
            raise _StopError

    return report


@pytest.mark.parametrize("images", [0, 8, 32, 64, 110])
def test_an_ended_run_goes_on_and_equals_a_whole_one(damaged, tmp_path, small, rows, failures, images):
    maezoo.extract(damaged, tmp_path / "whole", model=small, **SETTINGS)
    with pytest.raises(_StopError):
        maezoo.extract(damaged, tmp_path / "out", model=small, report=_stop_after(images), **SETTINGS)
    finished = len(list((tmp_path / "out").glob("part-*")))
    assert finished == images // 30
    result = maezoo.extract(damaged, tmp_path / "out", model=small, **SETTINGS)
    assert result.done == 125 - 30 * finished
    assert rows(tmp_path / "out").equals(rows(tmp_path / "whole"))
    assert failures(tmp_path / "out") == failures(tmp_path / "whole")


def test_what_was_begun_is_kept_from_time_to_time(folder, tmp_path, small, rows, monkeypatch):
    monkeypatch.setattr("maezoo.extraction.assembly._KEEP_EVERY", 0.0)
    with pytest.raises(_StopError):
        maezoo.extract(folder, tmp_path / "out", model=small, report=_stop_after(50), **SETTINGS)
    assert (tmp_path / "out" / "__maezoo__" / "begun-000001.parquet").exists()
    monkeypatch.undo()
    result = maezoo.extract(folder, tmp_path / "out", model=small, **SETTINGS)
    assert result.done == 120 - 30 - 24  # a shard and three batches of the next were there
    assert not list((tmp_path / "out").glob("*/begun-*"))
    maezoo.extract(folder, tmp_path / "whole", model=small, **SETTINGS)
    assert rows(tmp_path / "out").equals(rows(tmp_path / "whole"))


def test_a_finished_run_does_nothing_and_leaves_its_files_alone(folder, tmp_path, small):
    maezoo.extract(folder, tmp_path / "out", model=small, **SETTINGS)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir() if path.name[0] != "."}
    result = maezoo.extract(folder, tmp_path / "out", model=small, **SETTINGS)
    assert (result.rows, result.done, result.complete) == (120, 0, True)
    assert before == {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir() if p.name[0] != "."}


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"pool": "mean"}, "pool was 'cls', now 'mean'"),
        ({"dtype": "float32"}, "dtype was 'float16', now 'float32'"),
        ({"shard_size": 31}, "shard_size was 30, now 31"),
        ({"exact": True, "labels": True}, "exact was False, now True; labels was False, now True"),
    ],
)
def test_other_settings_are_refused_by_name(folder, tmp_path, small, other, says):
    maezoo.extract(folder, tmp_path / "out", model=small, **SETTINGS)
    with pytest.raises(DataError, match=says):
        maezoo.extract(folder, tmp_path / "out", model=small, **(SETTINGS | other))


def test_other_weights_and_another_source_are_refused(folder, tmp_path, small):
    maezoo.extract(folder, tmp_path / "out", model=small, **SETTINGS)
    with pytest.raises(DataError, match="source was"):
        maezoo.extract(folder / "class0", tmp_path / "out", model=small, **SETTINGS)
    small.encoder.norm.weight.data.mul_(2)
    with pytest.raises(DataError, match="sha256 was"):
        maezoo.extract(folder, tmp_path / "out", model=small, **SETTINGS)


def test_files_that_vanish_become_errors_and_new_ones_are_told(folder, tmp_path, small, failures, caplog):
    with pytest.raises(_StopError):
        maezoo.extract(folder, tmp_path / "out", model=small, report=_stop_after(32), **SETTINGS)
    (folder / "class3" / "0119.webp").unlink()
    (folder / "class3" / "0003.jpg").rename(folder / "class3" / "new.jpg")
    with caplog.at_level(logging.WARNING):
        result = maezoo.extract(folder, tmp_path / "out", model=small, **SETTINGS)
    assert (result.images, result.rows, result.errors) == (120, 118, 2)
    assert "1 images are new, 2 are gone" in caplog.text
    assert [(row["id"], row["error"]) for row in failures(tmp_path / "out")] == [
        ("class3/0003.jpg", "FileNotFoundError"),
        ("class3/0119.webp", "FileNotFoundError"),
    ]


def _repaint(path):
    """Put another picture in a file's place."""
    Image.new("RGB", (50, 60), "teal").save(path)


def test_other_pictures_under_the_same_names_are_embedded_anew(folder, tmp_path, small, rows, caplog):
    maezoo.extract(folder, tmp_path / "out", model=small, **SETTINGS)
    _repaint(folder / "class1" / "0001.png")
    with caplog.at_level(logging.WARNING):
        result = maezoo.extract(folder, tmp_path / "out", model=small, **SETTINGS)
    assert "1 images of" in caplog.text
    assert (result.done, result.complete) == (30, True)  # the one file that held it
    maezoo.extract(folder, tmp_path / "whole", model=small, **SETTINGS)
    assert rows(tmp_path / "out").equals(rows(tmp_path / "whole"))
    assert maezoo.extract(folder, tmp_path / "out", model=small, **SETTINGS).done == 0


def test_what_was_begun_of_pictures_that_have_changed_is_begun_anew(folder, tmp_path, small, rows, monkeypatch):
    monkeypatch.setattr("maezoo.extraction.assembly._KEEP_EVERY", 0.0)
    with pytest.raises(_StopError):
        maezoo.extract(folder, tmp_path / "out", model=small, report=_stop_after(16), **SETTINGS)
    _repaint(folder / "class0" / "0004.png")
    maezoo.extract(folder, tmp_path / "out", model=small, **SETTINGS)
    maezoo.extract(folder, tmp_path / "whole", model=small, **SETTINGS)
    assert rows(tmp_path / "out").equals(rows(tmp_path / "whole"))


def test_a_shard_of_other_pictures_is_read_where_they_are_now(folder, tmp_path, small, rows):
    def pack(names):
        with tarfile.open(tmp_path / "s.tar", "w") as tar:
            for name in names:
                tar.add(folder / "class0" / name, "a.png" if name == names[0] else "b.png")

    pack(["0004.png", "0016.png"])
    maezoo.extract(tmp_path / "s.tar", tmp_path / "out", model=small, **SETTINGS)
    pack(["0028.png", "0040.png"])
    maezoo.extract(tmp_path / "s.tar", tmp_path / "out", model=small, **SETTINGS)
    maezoo.extract(tmp_path / "s.tar", tmp_path / "whole", model=small, **SETTINGS)
    assert rows(tmp_path / "out").equals(rows(tmp_path / "whole"))


def test_contents_tell_more_than_times(folder, tmp_path, small):
    picture = folder / "class1" / "0001.png"
    maezoo.extract(folder, tmp_path / "out", model=small, contents=True, **SETTINGS)
    picture.touch()
    assert maezoo.extract(folder, tmp_path / "out", model=small, contents=True, **SETTINGS).done == 0
    times, data = picture.stat(), bytearray(picture.read_bytes())
    data[-20] ^= 1
    picture.write_bytes(data)
    os.utime(picture, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert maezoo.extract(folder, tmp_path / "out", model=small, contents=True, **SETTINGS).done == 30
    with pytest.raises(DataError, match="contents was True, now False"):
        maezoo.extract(folder, tmp_path / "out", model=small, **SETTINGS)


def test_nothing_is_deleted_in_a_folder_of_someone_else(folder, tmp_path, small):
    other = tmp_path / "other"
    (other / "__maezoo__").mkdir(parents=True)
    theirs = [other / ".part-000000-abcdefgh.parquet", other / ".errors-notes.txt", other / "part-1.parquet"]
    for path in theirs:
        path.write_text("mine")
    with pytest.raises(DataError, match="Name another output"):
        maezoo.extract(folder, other, model=small, **SETTINGS)
    (other / "__maezoo__" / "extract.json").write_text("{}")
    with pytest.raises(DataError, match="not what an extraction writes"):
        maezoo.extract(folder, other, model=small, **SETTINGS)
    assert all(path.read_text() == "mine" for path in theirs)


def test_a_damaged_shard_is_made_again(folder, tmp_path, small, rows, caplog):
    maezoo.extract(folder, tmp_path / "out", model=small, **SETTINGS)
    before = rows(tmp_path / "out")
    part = tmp_path / "out" / "part-000002.parquet"
    part.write_bytes(part.read_bytes()[:-100])
    assert maezoo.extract(folder, tmp_path / "out", model=small, **SETTINGS).done == 30
    assert "part-000002.parquet is damaged" in caplog.text
    assert rows(tmp_path / "out").equals(before)


def test_an_output_that_holds_something_else_is_refused(folder, tmp_path, small):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is a file"):
        maezoo.extract(folder, tmp_path / "file", model=small)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "part-000000.parquet").touch()
    with pytest.raises(DataError, match=r"no __maezoo__/extract\.json"):
        maezoo.extract(folder, tmp_path / "other", model=small)
    (tmp_path / "other" / "__maezoo__" / "extract.json").write_text("{}")
    with pytest.raises(DataError, match="not what an extraction writes"):
        maezoo.extract(folder, tmp_path / "other", model=small)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of half a megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a disk needs Linux and rights")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_ends_the_run_and_costs_nothing_that_was_done(damaged, tmp_path, small_disk, small, rows, failures):
    output, ballast = small_disk / "out", small_disk / "ballast"

    def fill(progress):
        if progress.done == 60:
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))

    with pytest.raises(DiskFullError, match=r"No space left on device\..* What is finished stays") as caught:
        maezoo.extract(damaged, output, model=small, report=fill, **SETTINGS)
    assert (caught.value.errno, caught.value.path) == (errno.ENOSPC, str(output / "part-000002.parquet"))
    assert len(list(output.glob("part-*"))) == 2
    with pytest.raises(OSError, match="No space left"):
        maezoo.extract(damaged, output, model=small, **SETTINGS)
    ballast.unlink()
    assert maezoo.extract(damaged, output, model=small, **SETTINGS).done == 65
    maezoo.extract(damaged, tmp_path / "whole", model=small, **SETTINGS)
    assert rows(output).equals(rows(tmp_path / "whole"))
    assert failures(output) == failures(tmp_path / "whole")


def test_a_worker_that_dies_ends_the_run_with_advice(folder, tmp_path, small):
    def kill(progress):
        if progress.done:
            for child in multiprocessing.active_children():
                child.kill()

    settings = SETTINGS | {"workers": 1, "batch_size": 2}
    with pytest.raises(ChildProcessError, match="fewer workers"):
        maezoo.extract(folder, tmp_path / "out", model=small, report=kill, **settings)
    assert maezoo.extract(folder, tmp_path / "out", model=small, **SETTINGS).rows == 120


def test_pyarrow_is_named_when_it_is_missing(folder, tmp_path, small, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'maezoo\[extract\]'"):
        maezoo.extract(folder, tmp_path / "out", model=small)
