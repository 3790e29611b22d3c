"""Weights that are published as a pickle are verified, read once as tensors alone, and kept as safetensors."""

import argparse
import contextlib
import io
import json
import os
import shlex
import shutil
from pathlib import Path

import click
import pytest
import torch
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file

import maezoo
from maezoo.cli import app
from maezoo.errors import IntegrityError, LayoutError, MaezooError, WeightsNotFoundError
from tests.weight_files import in_layout, metadata_of

from .conftest import NAME, REPO, Machine
from .server import COMMIT, flipped, slowly

PTH = "sub/checkpoint-399.pth"


class Malice:
    def __reduce__(self):
        return os.system, ("touch ran",)


def pickled(content: object, **options) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


@pytest.fixture
def fair(tiny_state):
    """What a trainer saves: weights, its options, the state of its optimizer."""
    return {
        "model": in_layout(tiny_state, "fair"),
        "optimizer": {"state": {0: {"exp_avg": torch.ones(1000)}}, "param_groups": []},
        "args": argparse.Namespace(mask_ratio=0.75, output_dir=Path("runs")),
        "epoch": 399,
    }


@pytest.fixture
def publish(machine, fair):
    """Put a pickle onto the hub and into the manifest."""

    def put(content=None, *, data=None, **changes) -> str:
        data = pickled(fair if content is None else content) if data is None else data
        return machine.publish(data, **{"filename": PTH, "layout": "fair"} | changes)

    return put


def copies(machine: Machine) -> list[Path]:
    return sorted(machine.folder.rglob("*.safetensors"))


def created(tiny_state, **options) -> Path:
    """Create the model; return the path of what it was filled from."""
    model = maezoo.create(NAME, pretrained=True, device="cpu", **options)
    assert model.load_report.path == maezoo.fetch(NAME)
    found = model.state_dict()
    assert found.keys() == tiny_state.keys()
    assert all(torch.equal(found[key], tiny_state[key]) for key in found)
    return model.load_report.path


def refused(machine: Machine, error: type[MaezooError], words: str | None = None, **options) -> MaezooError:
    with pytest.raises(error, match=words) as caught:
        maezoo.create(NAME, pretrained=True, device="cpu", **options)
    assert not list(machine.folder.rglob("*.safetensors"))
    assert not (machine.folder / "ran").exists()
    return caught.value


def fetched_by_another_tool() -> None:
    hf_hub_download(REPO, PTH, revision=COMMIT)


def test_a_pickle_is_read_once_and_then_only_its_copy(here, publish, tiny_state, monkeypatch):
    sha256 = publish()
    path = created(tiny_state)
    assert path.suffix == ".safetensors"
    assert metadata_of(path)["maezoo_source"] == sha256
    assert load_file(path).keys() == tiny_state.keys()  # neither the optimizer's state nor the options
    assert here.hub.count("HEAD") == here.hub.count("GET") == 1
    here.hub.close()
    before = path.stat().st_mtime_ns
    shutil.rmtree(here.cache / "models--zoo--tiny/snapshots")
    shutil.rmtree(here.cache / "models--zoo--tiny/blobs")
    assert created(tiny_state) == path
    assert created(tiny_state, offline=True) == path
    monkeypatch.setenv("MAEZOO_VERIFY", "always")
    assert created(tiny_state) == path
    assert path.stat().st_mtime_ns == before
    alone = maezoo.create("mae_vit_tiny", checkpoint=path, device="cpu")  # the copy says how it is used
    assert (alone.target, alone.preprocess, alone.license) == ("pixel", maezoo.info(NAME).preprocess, "apache-2.0")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"state_dict": {f"model.{key}": value for key, value in s.items()}, "pytorch-lightning_version": "2"},
        lambda s: {f"module._orig_mod.{key}": value for key, value in s.items()},
        lambda s: {"teacher": {k: v * 0 for k, v in s.items()}, "model": {f"backbone.{k}": v for k, v in s.items()}},
    ],
    ids=["lightning", "ddp and compile", "with a teacher"],
)
@pytest.mark.parametrize("old", [False, True], ids=["zip", "legacy"])
def test_wrappers_are_taken_off(here, publish, fair, tiny_state, wrap, old):
    publish(data=pickled(wrap(fair["model"]), _use_new_zipfile_serialization=not old))
    created(tiny_state)


@pytest.mark.parametrize("layout", ["transformers", "maezoo"])
def test_other_layouts_are_read_too_whatever_stands_next_to_them(here, publish, tiny_state, layout):
    publish(in_layout(tiny_state, layout), layout=layout, filename="pytorch_model.bin")
    here.hub.add(REPO, "config.json", b'{"of": "another library"}')
    hf_hub_download(REPO, "config.json", revision=COMMIT)
    created(tiny_state)


def test_an_encoders_entry_keeps_the_encoder_alone(here, publish, tiny_state):
    publish(parts=["encoder"])
    assert not [key for key in load_file(maezoo.fetch(NAME)) if key.startswith("decoder.")]
    publish()  # the manifest now knows of the decoder
    created(tiny_state)


@pytest.mark.parametrize("old", [False, True], ids=["zip", "legacy"])
def test_code_in_a_pickle_is_refused_by_name_and_does_not_run(here, publish, fair, old):
    publish(data=pickled(fair | {"args": Malice()}, _use_new_zipfile_serialization=not old))
    error = refused(here, IntegrityError, rf"{os.system.__module__}\.system")
    assert error.found == f"{os.system.__module__}.system"


def test_a_pickle_that_is_cut_short_or_no_pickle_is_refused(here, publish, fair):
    whole = pickled(fair)
    for data in (whole[:-5000], whole[:200], b"PK\x03\x04" + bytes(1000), b"\x80\x02", b"<html>no</html>"):
        publish(data=data)
        refused(here, IntegrityError)


def test_a_pickle_of_another_model_is_refused(here, publish, fair):
    fair["model"].pop("blocks.3.norm1.bias")
    publish()
    refused(here, LayoutError, r"blocks\.3\.norm1\.bias")


def test_a_wrong_hash_or_size_is_found_before_the_pickle_is_read(here, publish, fair):
    publish(fair | {"args": Malice()}, sha256="0" * 64)
    refused(here, IntegrityError, "0000")
    publish(size=17)
    refused(here, IntegrityError, "17")
    assert here.hub.count("GET") == 0
    publish()
    here.hub.get_faults = [flipped, flipped]
    refused(here, IntegrityError, "it is not kept")


@pytest.mark.parametrize("revision", [COMMIT, "main"])
def test_the_hubs_own_sha256_is_as_good_as_the_manifests(here, publish, tiny_state, revision):
    publish(sha256=None, size=None, revision=revision)
    path = created(tiny_state)
    here.hub.close()
    assert created(tiny_state) == path


def test_a_pickle_whose_sha256_nobody_knows_is_converted_knowingly(here, publish, tiny_state, monkeypatch):
    here.hub.in_git.add((REPO, PTH))
    publish(sha256=None, size=None)
    for options in ({}, {}, {"offline": True}):
        error = refused(here, IntegrityError, "not known", **options)
    monkeypatch.setenv("MAEZOO_VERIFY", "never")
    refused(here, IntegrityError, "not known")
    program, *arguments = shlex.split(error.command)
    assert program == "maezoo"
    app(arguments, standalone_mode=False)
    call = str(error).partition("then ")[2].rstrip(".")
    model = maezoo.create("mae_vit_tiny", checkpoint=f"{NAME}.safetensors", device="cpu")
    assert call == f"maezoo.create('mae_vit_tiny', checkpoint='{NAME}.safetensors')"
    assert torch.equal(model.encoder.norm.bias, tiny_state["encoder.norm.bias"])


def test_a_hub_that_learns_the_sha256_is_asked_again(here, publish, tiny_state):
    here.hub.in_git.add((REPO, PTH))
    publish(sha256=None, size=None)
    refused(here, IntegrityError, "not known")
    shutil.rmtree(here.cache)
    here.hub.in_git.clear()
    created(tiny_state)


def test_never_verifying_does_not_mean_reading_an_unverified_pickle(here, publish, fair, monkeypatch):
    publish()
    fetched_by_another_tool()
    next(here.cache.glob("models--*/snapshots/*/sub/*.pth")).resolve().write_bytes(pickled(fair | {"x": Malice()}))
    monkeypatch.setenv("MAEZOO_VERIFY", "never")
    refused(here, IntegrityError, "bytes|hash", offline=True)


def test_a_copy_that_was_damaged_is_made_again_without_a_request(here, publish, tiny_state):
    publish()
    path = created(tiny_state)
    here.hub.close()
    whole = path.read_bytes()
    for damaged in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[:1000], b""):
        path.write_bytes(damaged)
        assert created(tiny_state) == path


def test_a_copy_of_another_pickle_is_not_used(here, publish, fair, tiny_state):
    publish({"model": {key: value + 1 for key, value in fair["model"].items()}})
    maezoo.fetch(NAME)
    sha256 = publish()
    assert metadata_of(created(tiny_state))["maezoo_source"] == sha256


def test_processes_at_once_fetch_and_convert_once(machine, publish):
    publish()
    machine.hub.get_faults = [slowly(0.02)]
    code = """
        import maezoo.checkpoints.convert as converting
        made, original = [], converting.convert
        converting.convert = lambda *args, **kwargs: made.append(args) or original(*args, **kwargs)
        print(fetch(), len(made))
    """
    processes = [machine.start(code) for _ in range(3)]
    outputs = [process.communicate(timeout=100) for process in processes]
    assert not any(err for _, err in outputs), outputs
    assert sorted(out.split()[1] for out, _ in outputs) == ["0", "0", "1"]
    assert len({out.split()[0] for out, _ in outputs}) == 1
    assert machine.hub.count("GET") == 1


def test_a_killed_conversion_leaves_nothing_that_is_taken_for_a_copy(here, publish, tiny_state):
    publish()
    code = """
        import os, safetensors.torch
        original = safetensors.torch.save_file
        def save(tensors, path, *rest):
            original(tensors, path, *rest)
            os.truncate(path, 5000)
            os._exit(9)
        safetensors.torch.save_file = save
        fetch()
    """
    assert here.run(code).returncode == 9
    created(tiny_state)


def test_the_copy_of_a_cache_that_cannot_be_written_is_kept_at_home(here, publish, tiny_state):
    publish()
    fetched_by_another_tool()
    (here.cache / "models--zoo--tiny/.maezoo").write_text("in the way, whoever runs the tests")
    home = here.folder / "home/maezoo/converted"
    home.parent.mkdir(parents=True, exist_ok=True)
    home.write_text("in the way")
    error = refused(here, WeightsNotFoundError, "cannot be kept")
    assert str(home) in str(error)
    assert "HF_HOME" in str(error)
    home.unlink()
    assert home in created(tiny_state).parents
    here.hub.close()
    created(tiny_state)


def test_commands_list_a_pickle_and_its_copy(here, publish, capsys):
    def run(*arguments):
        with contextlib.suppress(click.exceptions.Exit):
            app([*arguments, "--json"], standalone_mode=False)
        return json.loads(capsys.readouterr().out)

    sha256 = publish()
    assert run("verify", NAME)[0]["status"] == "absent"
    path = Path(run("download", NAME)[0]["path"])
    assert metadata_of(path)["maezoo_source"] == sha256
    size = path.stat().st_size + len(here.hub.files[REPO, PTH])
    (row,) = run("verify", NAME)
    assert (row["status"], row["path"], row["size"]) == ("verified", str(path), size)
    (row,) = run("cache")
    assert (row["path"], row["size"], len(row["files"])) == (str(path), size, 2)
    assert row["verified"]
    shutil.rmtree(here.cache / "models--zoo--tiny/snapshots")
    assert run("verify")[0]["status"] == "verified"
    for damaged in (path.read_bytes()[:-1] + b"\0", b"short"):
        path.write_bytes(damaged)
        (row,) = run("verify")
        assert (row["status"], row["path"]) == ("damaged", str(path))


def test_timm_takes_the_copy(machine, publish, tiny_state):
    publish()
    code = f"""
        import timm
        print(timm.create_model({NAME!r}, pretrained=True).norm.bias.sum().item())
    """
    assert float(machine.run(code).stdout) == float(tiny_state["encoder.norm.bias"].sum())
