"""A file that holds no weights is called what it is, whichever function reads it."""

import gzip
import io
import os
import tarfile
import zipfile

import numpy as np
import pytest
import torch

import maezoo
from maezoo.checkpoints.convert import convert
from maezoo.errors import IntegrityError, LayoutError, MaezooError


def archive(kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as file:
            file.writestr("a.txt", "a")
    elif kind == "tar":
        with tarfile.open(fileobj=buffer, mode="w") as file:
            file.addfile(tarfile.TarInfo("a"))
    else:
        np.savez(buffer, a=np.ones(2))
    return buffer.getvalue()


KINDS = {
    "Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    "HTML page": b"\n<!DOCTYPE html>\n<html><body>Sign in</body></html>",
    "XML text": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
    "JSON text": b'{"error": "gated"}',
    "empty file": b"",
    "zip archive": archive("zip"),
    "tar archive": archive("tar"),
    "gzip archive": gzip.compress(b"weights"),
    "NumPy archive": archive("npz"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".pth", ".bin", ".safetensors"])
def test_what_is_no_weights_file_is_called_what_it_is(tmp_path, kind, suffix):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(KINDS[kind])
    for read in (
        lambda: convert(path, tmp_path / "out.safetensors"),
        lambda: maezoo.create("mae_vit_tiny", checkpoint=path, device="cpu"),
        lambda: maezoo.create(f"local-dir:{path}", device="cpu"),
    ):
        with pytest.raises(IntegrityError, match=kind):
            read()


def test_a_pytorch_file_is_known_by_its_contents(tmp_path, tiny_state):
    torch.save(tiny_state, tmp_path / "really.safetensors")
    convert(tmp_path / "really.safetensors", tmp_path / "out.safetensors", to="fair")
    with pytest.raises(IntegrityError, match="PyTorch file; `maezoo convert`"):
        maezoo.create("mae_vit_tiny", checkpoint=tmp_path / "really.safetensors", device="cpu")


@pytest.mark.parametrize("name", ["model.pth", "model.safetensors"])
def test_a_folder_is_called_a_folder(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(MaezooError, match="folder"):
        convert(tmp_path / name, tmp_path / "out.safetensors")
    if name.endswith(".safetensors"):
        with pytest.raises(LayoutError, match="folder"):
            convert(maezoo.fetch("mae_vit_tiny"), tmp_path / name)


@pytest.mark.parametrize("name", ["out.pth", "out.bin", "out.PT", "taken"])
def test_an_output_that_cannot_be_is_refused_before_anything_is_read(tmp_path, name):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(LayoutError, match=r"\.safetensors"):
        convert(tmp_path / "absent.pth", tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(IntegrityError, match="not a regular file"):
        convert(tmp_path / "pipe.safetensors", tmp_path / "out.safetensors")
    with pytest.raises(MaezooError):
        maezoo.create("mae_vit_tiny", checkpoint=tmp_path / "pipe.safetensors", device="cpu")


def test_a_header_whose_length_looks_like_a_pickle_is_one_of_safetensors(tmp_path, tiny_file):
    data = tiny_file().read_bytes()
    length = int.from_bytes(data[:8], "little")
    padded = 65_536 + 0x0280  # its first bytes are those of pickle protocol 2
    header = data[8 : 8 + length].ljust(padded)
    (tmp_path / "padded.safetensors").write_bytes(padded.to_bytes(8, "little") + header + data[8 + length :])
    convert(tmp_path / "padded.safetensors", tmp_path / "out.safetensors", to="fair")
