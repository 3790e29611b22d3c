import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from maezoo.checkpoints.layouts import foreign_keys
from maezoo.model import VARIANTS, build_mae


@pytest.fixture(scope="session")
def tiny_state() -> dict[str, torch.Tensor]:
    """The state of a tiny autoencoder in which no two values are alike."""
    torch.manual_seed(7)
    state = build_mae(VARIANTS["mae_vit_tiny"]).state_dict()
    return {key: torch.randn_like(tensor) for key, tensor in state.items()}


def in_layout(state: dict[str, torch.Tensor], layout: str, *, decoder: bool = True) -> dict[str, torch.Tensor]:
    """Name a state as a layout does; a test's own writer, so that reader and writer do not err together."""
    named: dict[str, torch.Tensor] = {}
    for key, tensor in state.items():
        if decoder or not key.startswith("decoder."):
            names = foreign_keys(key, layout)
            named |= dict(zip(names, tensor.chunk(len(names)), strict=True))
    return {key: tensor.clone() for key, tensor in named.items()}


@pytest.fixture
def tiny_file(tmp_path, tiny_state):
    """Write a tiny autoencoder's file in a layout; `change` alters its tensors."""

    def write(layout="fair", *, decoder=True, change=None, metadata=None, name=None) -> Path:
        tensors = in_layout(tiny_state, layout, decoder=decoder)
        if change is not None:
            change(tensors)
        path = tmp_path / (name or f"{layout}.safetensors")
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, path, metadata=metadata or {"format": "pt"})
        return path

    return write


def header_of(path: Path) -> dict:
    """The header of a safetensors file, as JSON."""
    with path.open("rb") as file:
        return json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))


def same_tensors(first: Path, second: Path) -> bool:
    """Whether two files hold the same tensors, bit for bit, under the same names."""
    one, two = load_file(first), load_file(second)
    return one.keys() == two.keys() and all(
        one[key].dtype == two[key].dtype and torch.equal(one[key], two[key]) for key in one
    )


def metadata_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata()
