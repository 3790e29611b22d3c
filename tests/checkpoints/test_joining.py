"""Tensors that the model has as one are read as one."""

import os
import sys

import pytest
import torch
from safetensors.torch import save_file

from maezoo.checkpoints.reader import open_weights
from maezoo.errors import IntegrityError


def test_groups_of_any_size_and_dtype_are_joined_in_their_order(tmp_path):
    generator = torch.Generator().manual_seed(0)
    groups, tensors = [], {}
    for i, dtype in enumerate((torch.float32, torch.float16, torch.bfloat16, torch.float64)):
        names = tuple(f"{i}.{part}" for part in "vqk")
        tensors |= {name: torch.randn(rows, 3, generator=generator).to(dtype) for rows, name in enumerate(names, 1)}
        groups.append(names)
    path = tmp_path / "groups.safetensors"
    save_file(tensors, path)
    with open_weights(path) as file:
        joined = {names: file.read(*names) for names in groups}
    for names, tensor in joined.items():
        torch.testing.assert_close(tensor, torch.cat([tensors[name] for name in names]), rtol=0, atol=0)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not shorten a file that is open")
def test_a_file_cut_off_while_it_is_open_is_told_of(tmp_path):
    path = tmp_path / "cut.safetensors"
    save_file({"q": torch.ones(400, 40), "k": torch.ones(400, 40)}, path)
    with open_weights(path) as file:
        shapes = [file.shape(name) for name in ("q", "k")]
        os.truncate(path, path.stat().st_size - 8)
        with pytest.raises(IntegrityError, match="ended while it was read"):
            file.read("q", "k")
    assert shapes == [(400, 40)] * 2
