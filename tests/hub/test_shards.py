"""Weights in several files of a repository are fetched by their index and verified one by one."""

import contextlib
import json

import click
import pytest
import torch
from safetensors.torch import load_file, save

import maezoo
import maezoo.hub.files
from maezoo.checkpoints.convert import convert
from maezoo.cli import app
from maezoo.errors import IntegrityError, LayoutError, WeightsNotFoundError
from maezoo.hub import Repository

from .conftest import NAME, REPO, TINY
from .server import COMMIT, flipped

INDEX = "model.safetensors.index.json"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.fixture
def shard(here, tmp_path):
    """Put a model in two shards onto the hub, as transformers writes one; return its tensors."""
    convert(TINY, tmp_path / "theirs", to="transformers")
    tensors = load_file(tmp_path / "theirs/model.safetensors")

    def put(repo="org/shards", **index):
        names = sorted(tensors)
        homes = {name: SHARDS[at % 2] for at, name in enumerate(names)}
        for file in SHARDS:
            here.hub.add(repo, file, save({key: tensors[key] for key in names if homes[key] == file}))
        for name in ("config.json", "preprocessor_config.json"):
            here.hub.add(repo, name, (tmp_path / "theirs" / name).read_bytes())
        data = json.dumps({"weight_map": homes} | index).encode()
        here.hub.add(repo, INDEX, data)
        return data

    return put


def created(name="hf-hub:org/shards", **options) -> dict[str, torch.Tensor]:
    return maezoo.create(name, device="cpu", pretrained=not name.startswith("hf-hub:"), **options).state_dict()


def same(first, second) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.fixture(scope="module")
def expected():
    return maezoo.create("mae_vit_tiny", pretrained=True, device="cpu").state_dict()


def test_a_repository_with_an_index_is_read_and_then_needs_no_request(here, shard, expected):
    shard()
    assert same(created(), expected)
    here.hub.requests.clear()
    assert same(created(), expected)
    assert same(created(offline=True), expected)
    assert not here.hub.requests
    blob = next(here.cache.glob(f"models--org--shards/snapshots/*/{SHARDS[1]}")).resolve()
    whole = blob.read_bytes()
    blob.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(IntegrityError, match=r"blobs|00002"):
        created(offline=True)
    assert same(created(), expected)  # fetched again
    assert here.hub.count("GET") == here.hub.count("GET", SHARDS[1]) == 1


def test_a_shard_that_is_missing_or_damaged_is_told(here, shard, expected):
    shard()
    maezoo.hub.files.fetch_file(Repository("org/shards").file(INDEX))
    here.hub.get_faults = [flipped, flipped]
    with pytest.raises(IntegrityError, match=SHARDS[0]):
        created()
    data = here.hub.files.pop(("org/shards", SHARDS[1]))
    with pytest.raises(WeightsNotFoundError, match=SHARDS[1]):
        created()
    here.hub.add("org/shards", SHARDS[1], data)
    assert same(created(), expected)


@pytest.mark.parametrize(
    ("homes", "words"),
    [
        ({"a": "../model.safetensors"}, "not a file next to it"),
        ({"a": "config.json"}, "nothing but .safetensors"),
        ({"a": "pytorch_model-1.bin"}, "nothing but .safetensors"),
        ({"a": "a b.safetensors"}, "nothing but .safetensors"),
        ({}, "index of no weights"),
        ({str(number): f"{number}.safetensors" for number in range(1001)}, "1,001 files"),
        (["model.safetensors"], "no index"),
    ],
)
def test_an_index_names_safetensors_files_next_to_it(here, shard, homes, words):
    shard(weight_map=homes)
    with pytest.raises(LayoutError, match=words):
        created()
    assert here.hub.count("GET") == 1


def test_a_repository_without_safetensors_says_how_a_pickle_is_converted(here):
    here.hub.add("org/pickled", "pytorch_model.bin", b"\x80\x02")
    with pytest.raises(WeightsNotFoundError, match="maezoo convert"):
        created("hf-hub:org/pickled")
    assert here.hub.count("GET") == 0


def test_an_entry_may_be_an_index_and_the_commands_list_all_its_files(here, shard, expected, capsys):
    def run(*arguments):
        with contextlib.suppress(click.exceptions.Exit):
            app([*arguments, "--json"], standalone_mode=False)
        (row,) = json.loads(capsys.readouterr().out)
        return row

    here.publish(shard(REPO), filename=INDEX, layout="transformers")
    assert same(created(NAME), expected)
    size = sum(len(here.hub.files[REPO, name]) for name in (INDEX, *SHARDS))
    row = run("verify")
    assert (row["status"], row["size"]) == ("verified", size)
    row = run("cache")
    assert (row["size"], len(row["files"])) == (size, 3)
    snapshot = here.cache / f"models--zoo--tiny/snapshots/{COMMIT}"
    (snapshot / SHARDS[0]).unlink()
    row = run("verify")
    assert row["status"] == "absent"
    assert SHARDS[0] in row["problem"]
    (snapshot / SHARDS[0]).write_bytes(here.hub.files[REPO, SHARDS[0]])
    (snapshot / SHARDS[1]).resolve().write_bytes(b"short")
    row = run("verify")
    assert row["status"] == "damaged"
    assert SHARDS[1] in row["problem"]
    (snapshot / INDEX).resolve().write_bytes(b"{}")
    assert run("verify")["status"] == "damaged"
