"""Listing folders: one odd entry costs itself alone."""

import logging
import os
import socket
import sys
from pathlib import Path

import pytest

from maezoo.checkpoints.folders import weights_in
from maezoo.checkpoints.foreign import read_foreign
from maezoo.extraction.sources import find_items
from maezoo.listing import files_in, image_files
from maezoo.training import open_source

links = pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")


def _touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def _names(folder):
    return [path.relative_to(folder).as_posix() for path in image_files(folder)]


@pytest.fixture
def odd(tmp_path):
    """A folder with two images and with all that a folder may hold besides."""
    root = tmp_path / "root"
    _touch(root, "1.jpg", "deep/2.png", ".hidden/3.jpg", "._1.jpg", "deep/._2.png", "notes.txt")
    (root / "folder.jpg").mkdir()
    (root / "loop").symlink_to("loop")
    (root / "loop.tar").symlink_to("loop.tar")
    (root / "circle").symlink_to(root)
    (root / "deep" / "up").symlink_to(root / "deep")
    os.mkfifo(root / "pipe.jpg")
    os.mkfifo(root / "pipe.tar")
    (root / "linked-pipe.jpg").symlink_to(root / "pipe.jpg")
    (root / "zero.jpg").symlink_to("/dev/zero")
    return root


@links
def test_images_are_found_beside_all_that_is_none(odd, monkeypatch):
    monkeypatch.chdir(odd)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.jpg")
        assert _names(odd) == ["1.jpg", "deep/2.png"]


@links
def test_extraction_and_training_find_the_same(odd):
    (odd / "loop.tar").unlink()  # a shard that cannot be opened, not one that is not there
    assert [item.id for item in find_items(odd)] == _names(odd)
    assert [Path(os.fsdecode(item.location)) for item in open_source(odd).items] == list(image_files(odd))
    assert [item.id for item in find_items(odd.as_uri())] == _names(odd)


@links
def test_a_link_that_leads_nowhere_is_a_file_that_cannot_be_read(tmp_path):
    for name, to in (("broken.jpg", "nowhere.jpg"), ("loop.jpg", "loop.jpg"), ("notes", "nowhere")):
        (tmp_path / name).symlink_to(to)
    assert _names(tmp_path) == ["broken.jpg", "loop.jpg"]


@links
def test_linked_folders_are_searched_wherever_they_are_linked(tmp_path):
    _touch(tmp_path, "real/1.jpg", "root/2.jpg")
    (tmp_path / "root" / "a").symlink_to(tmp_path / "real")
    (tmp_path / "root" / "b").symlink_to(tmp_path / "real")
    assert _names(tmp_path / "root") == ["2.jpg", "a/1.jpg", "b/1.jpg"]


@pytest.mark.skipif(sys.platform == "win32", reason="paths are shorter there")
def test_no_depth_is_too_deep(tmp_path):
    folders = [tmp_path]
    for _ in range(1100):
        folders.append(folders[-1] / "d")
        folders[-1].mkdir()
    _touch(folders[-1], "1.jpg")
    assert [path.name for path in image_files(tmp_path)] == ["1.jpg"]
    (folders[-1] / "1.jpg").unlink()
    for folder in reversed(folders[1:]):  # pytest's own way to clean up is recursive
        folder.rmdir()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_told_and_left_out(tmp_path, caplog):
    _touch(tmp_path, "open/1.jpg", "shut/2.jpg")
    (tmp_path / "shut").chmod(0)
    with caplog.at_level(logging.WARNING):
        assert _names(tmp_path) == ["open/1.jpg"]
    assert "shut is left out" in caplog.text
    (tmp_path / "shut").chmod(0o755)


def test_a_shard_beside_what_is_called_like_one(tmp_path):
    _touch(tmp_path, "a.tar", "B.TAR", "._a.tar", ".b.tar", "c.tar.gz")
    (tmp_path / "x.tar").mkdir()
    assert [path.name for path in files_in(tmp_path, ".tar")] == ["B.TAR", "a.tar"]


def test_weights_beside_a_shadow_of_theirs(tmp_path):
    _touch(tmp_path, "mine.safetensors", "._mine.safetensors", ".mine.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    assert weights_in(tmp_path).name == "mine.safetensors"


def test_weights_to_convert_beside_a_shadow_of_theirs(tmp_path):
    import torch
    from safetensors.torch import save_file

    from maezoo.model import VARIANTS, build_mae

    save_file(build_mae(VARIANTS["mae_vit_tiny"]).state_dict(), tmp_path / "mine.safetensors")
    (tmp_path / "._mine.safetensors").write_bytes(b"\0" * 100)
    assert all(isinstance(value, torch.Tensor) for value in read_foreign(tmp_path).tensors.values())
