"""Weights in several files of a repository are fetched by their index and verified one by one."""

import json
import subprocess
import sys

import pytest
from safetensors.torch import load_file, save

from maezoo.checkpoints.convert import convert

from .conftest import NAME, REPO, TINY
from .server import COMMIT, flipped

INDEX = "model.safetensors.index.json"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.fixture
def shard(machine, tmp_path):
    """Put a model in two shards onto the hub, as transformers writes one; return its tensors."""
    convert(TINY, tmp_path / "theirs", to="transformers")
    tensors = load_file(tmp_path / "theirs/model.safetensors")

    def put(repo="org/shards", **index):
        names = sorted(tensors)
        homes = {name: SHARDS[at % 2] for at, name in enumerate(names)}
        for file in SHARDS:
            machine.hub.add(repo, file, save({key: tensors[key] for key in names if homes[key] == file}))
        for name in ("config.json", "preprocessor_config.json"):
            machine.hub.add(repo, name, (tmp_path / "theirs" / name).read_bytes())
        data = json.dumps({"weight_map": homes} | index).encode()
        machine.hub.add(repo, INDEX, data)
        return data

    return put


def created(machine, name="hf-hub:org/shards", **environment):
    code = f"""
        import torch, maezoo
        try:
            model = maezoo.create({name!r}, device="cpu", pretrained={not name.startswith("hf-hub:")})
            assert model.decoder is not None
            print(model.encoder.norm.bias.sum().item())
        except MaezooError as error:
            print(f"{{type(error).__name__}}: {{error}}")
    """
    return machine.run(code, **environment).stdout


@pytest.fixture(scope="module")
def expected():
    import maezoo

    return str(maezoo.create("mae_vit_tiny", pretrained=True, device="cpu").encoder.norm.bias.sum().item())


def test_a_repository_with_an_index_is_read_and_then_needs_no_request(machine, shard, expected):
    shard()
    assert created(machine) == expected
    machine.hub.requests.clear()
    assert created(machine) == expected
    assert not machine.hub.requests
    blob = next(machine.cache.glob(f"models--org--shards/snapshots/*/{SHARDS[1]}")).resolve()
    whole = blob.read_bytes()
    blob.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert created(machine, HF_HUB_OFFLINE="1").startswith("IntegrityError: ")
    assert created(machine) == expected  # fetched again
    assert machine.hub.count("GET", SHARDS[1]) == 1


def test_a_shard_that_is_missing_or_damaged_is_told(machine, shard, expected):
    shard()
    machine.hub.get_faults = [lambda *_: False, flipped, flipped]  # of the index, and twice of the first shard
    assert created(machine).startswith("IntegrityError: ")
    data = machine.hub.files.pop(("org/shards", SHARDS[1]))
    out = created(machine)
    assert out.startswith("WeightsNotFoundError: ")
    assert SHARDS[1] in out
    machine.hub.add("org/shards", SHARDS[1], data)
    assert created(machine) == expected


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
def test_an_index_names_safetensors_files_next_to_it(machine, shard, homes, words):
    shard(weight_map=homes)
    code = """
        from maezoo.hub import Repository
        try:
            Repository.parse("org/shards").fetch()
        except MaezooError as error:
            print(f"{type(error).__name__}: {error}")
    """
    out = machine.run(code).stdout
    assert out.startswith("LayoutError: ")
    assert words in out
    assert machine.hub.count("GET") == 1


def test_a_repository_without_safetensors_says_how_a_pickle_is_converted(machine):
    machine.hub.add("org/pickled", "pytorch_model.bin", b"\x80\x02")
    out = created(machine, "hf-hub:org/pickled")
    assert out.startswith("WeightsNotFoundError: ")
    assert "maezoo convert" in out
    assert machine.hub.count("GET") == 0


def test_an_entry_may_be_an_index_and_the_commands_list_all_its_files(machine, shard, expected):
    def maezoo(*arguments):
        run = [sys.executable, "-c", "from maezoo.cli import main; main()", *arguments, "--json"]
        done = subprocess.run(
            run, env=machine.environment, cwd=machine.folder, capture_output=True, text=True, check=False
        )
        return done.returncode, json.loads(done.stdout)

    data = shard(REPO)
    machine.publish(data, filename=INDEX, layout="transformers")
    assert created(machine, NAME) == expected
    size = sum(len(machine.hub.files[REPO, name]) for name in (INDEX, *SHARDS))
    rc, (row,) = maezoo("verify")
    assert (rc, row["status"], row["size"]) == (0, "verified", size)
    (row,) = maezoo("cache")[1]
    assert (row["size"], len(row["files"])) == (size, 3)
    snapshot = machine.cache / f"models--zoo--tiny/snapshots/{COMMIT}"
    (snapshot / SHARDS[0]).unlink()
    rc, (row,) = maezoo("verify")
    assert (rc, row["status"]) == (1, "absent")
    assert SHARDS[0] in row["problem"]
    (snapshot / SHARDS[1]).resolve().write_bytes(b"short")
    (snapshot / SHARDS[0]).write_bytes(machine.hub.files[REPO, SHARDS[0]])
    rc, (row,) = maezoo("verify")
    assert (rc, row["status"]) == (1, "damaged")
    assert SHARDS[1] in row["problem"]
    (snapshot / INDEX).resolve().write_bytes(b"{}")
    assert maezoo("verify")[1][0]["status"] == "damaged"
