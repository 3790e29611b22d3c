"""Files that appear whole: links, modes, pipes, names, and what errors say."""

import errno
import os
import stat
import sys
import threading
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from maezoo.errors import DiskFullError
from maezoo.files import errors_named, is_stream, parse_json, picture_format, remove_left_over, written_whole
from maezoo.paths import user_path
from maezoo.tensorfiles import write_safetensors

posix = pytest.mark.skipif(sys.platform == "win32", reason="links, modes and pipes of POSIX")


def write(path: Path, text: str = "new") -> None:
    with written_whole(path) as temporary:
        temporary.write_text(text)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@posix
def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    for target in (tmp_path / "far" / "there.txt", tmp_path / "far" / "not yet.txt"):
        link = tmp_path / f"link to {target.name}"
        link.symlink_to(target)
        write(link)
        assert link.is_symlink()
        assert target.read_text() == "new"
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(OSError, match="loop"):
        write(loop)
    assert len(list((tmp_path / "far").iterdir())) == 2


@posix
def test_a_private_file_stays_private_and_a_new_one_follows_the_umask(tmp_path: Path) -> None:
    private, shared = tmp_path / "private.txt", tmp_path / "shared.safetensors"
    private.touch(0o600)
    private.chmod(0o640)
    shared.touch()
    shared.chmod(0o604)
    write(private)
    write_safetensors(shared, {"x": torch.zeros(1)}, {})
    assert (mode_of(private), mode_of(shared)) == (0o640, 0o604)
    before = os.umask(0o027)
    try:
        write(tmp_path / "new.txt")
        write_safetensors(tmp_path / "new.safetensors", {"x": torch.zeros(1)}, {})
    finally:
        os.umask(before)
    assert (mode_of(tmp_path / "new.txt"), mode_of(tmp_path / "new.safetensors")) == (0o640, 0o640)


@posix
def test_a_pipe_or_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.txt"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write(pipe)
    reader.join()
    assert read == ["new"]
    write(Path(os.devnull))
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    assert not is_stream(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full")
def test_a_full_disk_is_one_error_with_the_files_name() -> None:
    with pytest.raises(DiskFullError, match=r"^/dev/full cannot be written: No space left") as caught:
        write(Path("/dev/full"))
    assert caught.value.errno == errno.ENOSPC


@posix
def test_every_writer_names_the_file_that_found_no_room(tmp_path: Path) -> None:
    import resource
    import signal

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(DiskFullError, match=r"a\.safetensors cannot be written"):
            write_safetensors(tmp_path / "a.safetensors", {"x": torch.zeros(1000)}, {})
        with pytest.raises(DiskFullError, match=r"b\.txt cannot be written"):
            write(tmp_path / "b.txt", "x" * 2000)
        with pytest.raises(DiskFullError, match="log"), errors_named(tmp_path / "log") as path, path.open("a") as file:
            file.write("x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_other_failures_name_the_file_and_not_its_temporary(tmp_path: Path) -> None:
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(IsADirectoryError, match=r"folder\.txt'$"):
        write(tmp_path / "folder.txt")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        write(tmp_path / "file" / "below.txt")
    with pytest.raises(OSError, match=r"odd\.bin cannot be written: 9 requested"), written_whole(tmp_path / "odd.bin"):
        raise OSError("9 requested and 3 written")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.txt"]


@pytest.mark.parametrize("name", ["", ".", "..", "/"])
def test_a_folder_is_no_file_to_write(name: str) -> None:
    with pytest.raises(IsADirectoryError):
        write(Path(name))


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    path = tmp_path / f"{'x' * 250}.txt"
    write(path)
    assert path.read_text() == "new"


def test_the_home_is_spelled_out_where_it_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write(Path("~/new/x.txt"))
    assert (tmp_path / "new" / "x.txt").read_text() == "new"
    assert user_path("~nobody-of-that-name/x") == Path("~nobody-of-that-name/x")
    assert user_path("a~b") == Path("a~b")


def test_the_suffix_of_a_picture_is_known_before_it_is_made() -> None:
    assert picture_format(Path("x.JPG")) == "JPEG"
    assert picture_format(Path("/dev/stdout")) == "PNG"
    for name in ("x.txt", "x.psd", "x"):
        with pytest.raises(ValueError, match=r"take \.png"):
            picture_format(Path(name))


def test_the_same_tensors_and_metadata_give_the_same_bytes(tmp_path):
    tensors = {"b": torch.ones(2, 3), "a": torch.zeros(1)}
    metadata = {name: f'"{name}" \u00e9\n' for name in "qwertzuiopasdfgh"}
    write_safetensors(tmp_path / "first.safetensors", tensors, metadata)
    write_safetensors(tmp_path / "second.safetensors", tensors, dict(reversed(metadata.items())))
    assert (tmp_path / "first.safetensors").read_bytes() == (tmp_path / "second.safetensors").read_bytes()
    with safe_open(tmp_path / "first.safetensors", framework="pt") as file:
        assert file.metadata() == metadata
        assert set(file.keys()) == {"a", "b"}


def test_what_a_killed_process_has_left_is_removed_and_nothing_else(tmp_path):
    target = tmp_path / "model.safetensors"
    others = [".model-0123abcd.json", ".model-0123abc.safetensors", ".models-0123abcd.safetensors", "model-0123abcd"]
    for name in (".model-0123abcd.safetensors", ".tmpqjarkA", *others):
        (tmp_path / name).touch()
    remove_left_over(target, older_than=60)
    assert len(list(tmp_path.iterdir())) == 6
    remove_left_over(target)
    assert {path.name for path in tmp_path.iterdir()} == set(others)


def test_json_without_an_end_to_its_brackets_is_a_value_error():
    for text in ("[" * 100_000, '{"a":' * 100_000, b"[" * 100_000):
        with pytest.raises(ValueError, match="nested"):
            parse_json(text)
