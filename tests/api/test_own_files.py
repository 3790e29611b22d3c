"""What becomes of a user's file after it was loaded is of no concern to the model; files of the cache stay mapped."""

import os

import pytest
import torch

import maezoo
from maezoo.api.source import find_source
from maezoo.checkpoints.convert import convert


@pytest.fixture(params=["checkpoint", "local-dir", "converted", "transformers"])
def model_and_file(request, tmp_path):
    """A model that was filled from a file of the user's, and the file."""
    file = tmp_path / "model.safetensors"
    if request.param == "transformers":
        convert(maezoo.fetch("mae_vit_tiny"), tmp_path, to="transformers")
    elif request.param == "converted":
        convert(maezoo.fetch("mae_vit_tiny"), file)
    else:
        maezoo.create("mae_vit_tiny", pretrained=True, device="cpu").save_pretrained(tmp_path)
    if request.param == "checkpoint":
        return maezoo.create("mae_vit_tiny", checkpoint=file, device="cpu"), file
    return maezoo.create(f"local-dir:{tmp_path}", device="cpu"), file


def test_a_file_that_is_overwritten_or_cut_off_does_not_change_the_model(model_and_file):
    model, path = model_and_file
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 4)
        file.write(b"\1" * (size // 2))
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    os.truncate(path, 0)  # reading a page of a mapped file that is gone would end this process
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def test_files_that_nobody_changes_are_mapped(tmp_path):
    options = {"pretrained": False, "checkpoint": None, "cache_dir": None, "offline": None}
    with find_source("mae_vit_tiny", **options | {"pretrained": True}) as source:
        assert source.file.mapped
    maezoo.create("mae_vit_tiny", pretrained=True, device="cpu").save_pretrained(tmp_path)
    with find_source(f"local-dir:{tmp_path}", **options) as source:
        assert not source.file.mapped
