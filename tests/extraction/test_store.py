"""The lock of an output, and the files of a remote one."""

import errno
import logging
import os
import subprocess
import sys

import pytest

import maezoo
from maezoo.errors import DataError, OutputBusyError
from maezoo.extraction.store import exclusive, open_store

HOLD = """
import sys, time
from pathlib import Path
from maezoo.extraction.store import exclusive
with exclusive(Path(sys.argv[1]), "features"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_lock_names_its_holder_and_goes_with_it(tmp_path):
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        said = rf"another run is writing to features \(process {holder.pid}\)"
        with pytest.raises(DataError, match=said) as caught, exclusive(path, "features"):
            pass
        assert (caught.value.path, caught.value.found) == ("features", str(holder.pid))
        holder.kill()
    with exclusive(path, "features"):
        assert (tmp_path / "lock.pid").read_text(encoding="ascii") == str(os.getpid())


@pytest.mark.skipif(sys.platform == "win32", reason="flock is POSIX's")
def test_a_file_system_without_locks_is_told_of(tmp_path, monkeypatch, caplog):
    import fcntl

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with caplog.at_level(logging.WARNING), exclusive(tmp_path / "lock", "features"):
        pass
    assert "this file system has no locks" in caplog.text


def test_other_errors_of_a_lock_are_not_about_locks(tmp_path):
    (tmp_path / "lock").mkdir()
    with pytest.raises(OSError), exclusive(tmp_path / "lock", "features"):  # noqa: PT011 - the system's words
        pass


def test_two_runs_never_write_one_temporary_file(monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    storage = fsspec.filesystem("memory")
    store, seen = open_store("memory://out"), []
    move = store._system.move

    class Watched:
        def __getattr__(self, name):
            return getattr(system, name)

        def move(self, source, target):
            seen.append(source)
            if len(seen) > 2:
                raise OSError(errno.EIO, "input/output error")
            move(source, target)

    system, store._system = store._system, Watched()
    store.write("a.parquet", b"1")
    store.write("a.parquet", b"2")
    assert len(set(seen)) == 2
    with pytest.raises(OSError, match="input/output"):
        store.write("a.parquet", b"3")
    assert store.names() == ["a.parquet"]
    assert store.read("a.parquet") == b"2"
    storage.rm("/out", recursive=True)


def test_a_file_uri_is_a_folder_of_this_machine_whose_runs_exclude_each_other(tmp_path, photos):
    output = tmp_path / "out"
    with exclusive(output / "__maezoo__" / "lock", output), pytest.raises(OutputBusyError):
        maezoo.extract(photos[0].parent, output.as_uri(), device="cpu", workers=0, limit=1)
    assert maezoo.extract(photos[0].parent, output.as_uri(), device="cpu", workers=0, limit=1).rows == 1
    assert (output / "part-000000.parquet").is_file()
