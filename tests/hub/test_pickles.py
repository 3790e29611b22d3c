"""Weights that are published as a pickle are verified, read once as tensors alone, and kept as safetensors."""

import argparse
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from tests.weight_files import in_layout, metadata_of

from .conftest import NAME, REPO, Machine
from .server import COMMIT, flipped, slowly

PTH = "sub/checkpoint-399.pth"
CREATE = """
import maezoo
try:
    model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
    print(model.load_report.path)
    print(model.encoder.norm.bias.sum().item(), model.decoder is not None)
except MaezooError as error:
    print(f"{type(error).__name__}: {error}")
"""


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


def created(machine: Machine, tiny_state, **environment: str) -> Path:
    """Create the model; return the path of what it was filled from."""
    result = machine.run(CREATE, **environment)
    path, _, rest = result.stdout.partition("\n")
    total, decoder = rest.split()
    assert float(total) == float(tiny_state["encoder.norm.bias"].sum())
    assert decoder == "True"
    return Path(path)


def refused(machine: Machine, **environment: str) -> str:
    out = machine.run(CREATE, **environment).stdout
    assert not copies(machine)
    assert not (machine.folder / "ran").exists()
    return out


def test_a_pickle_is_read_once_and_then_only_its_copy(machine, publish, tiny_state):
    sha256 = publish()
    path = created(machine, tiny_state)
    assert path.suffix == ".safetensors"
    assert metadata_of(path)["maezoo_source"] == sha256
    kept = load_file(path)
    assert kept.keys() == tiny_state.keys()  # the optimizer's state is left out
    assert all(torch.equal(kept[key], tiny_state[key]) for key in kept)
    assert machine.hub.counts() == {"HEAD": 1, "GET": 1}
    machine.hub.close()
    before = path.stat().st_mtime_ns
    shutil.rmtree(machine.cache / "models--zoo--tiny/snapshots")
    shutil.rmtree(machine.cache / "models--zoo--tiny/blobs")
    for environment in ({}, {"HF_HUB_OFFLINE": "1"}, {"MAEZOO_VERIFY": "always"}):
        assert created(machine, tiny_state, **environment) == path
    assert path.stat().st_mtime_ns == before


def test_the_copy_is_a_file_of_its_own_that_says_how_it_is_used(machine, publish):
    publish()
    path = machine.run().stdout
    code = f"""
        import maezoo
        model = maezoo.create("mae_vit_tiny", checkpoint={path!r}, device="cpu")
        print(model.target, model.preprocess.size, model.license)
    """
    assert machine.run(code).stdout == "pixel (96, 96) mit"


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
def test_wrappers_are_taken_off(machine, publish, fair, tiny_state, wrap, old):
    publish(data=pickled(wrap(fair["model"]), _use_new_zipfile_serialization=not old))
    created(machine, tiny_state)


@pytest.mark.parametrize("layout", ["transformers", "maezoo"])
def test_other_layouts_are_read_too_whatever_stands_next_to_them(machine, publish, tiny_state, layout):
    publish(in_layout(tiny_state, layout), layout=layout, filename="pytorch_model.bin")
    machine.hub.add(REPO, "config.json", b'{"of": "another library"}')
    code = "from huggingface_hub import hf_hub_download"
    code += f"\nhf_hub_download({REPO!r}, 'config.json', revision={COMMIT!r})"
    machine.run(code)
    created(machine, tiny_state)


def test_an_encoders_entry_keeps_the_encoder_alone(machine, publish):
    publish(parts=["encoder"])
    with safe_open(machine.run().stdout, framework="pt") as file:
        assert not [key for key in file.keys() if key.startswith("decoder.")]  # noqa: SIM118 - not a mapping


@pytest.mark.parametrize("old", [False, True], ids=["zip", "legacy"])
def test_code_in_a_pickle_is_refused_by_name_and_does_not_run(machine, publish, fair, old):
    publish(data=pickled(fair | {"args": Malice()}, _use_new_zipfile_serialization=not old))
    out = refused(machine)
    assert out.startswith("IntegrityError: ")
    assert f"{os.name if os.name == 'nt' else 'posix'}.system" in out


def test_what_a_pickle_names_is_not_imported(machine, publish, fair):
    (machine.folder / "mine.py").write_text("class Options: pass\n")
    (machine.folder / "omegaconf.py").write_text("import pathlib\npathlib.Path('ran').touch()\n")
    options = {"PYTHONPATH": f"{machine.folder}{os.pathsep}{machine.environment.get('PYTHONPATH', '')}"}
    publish(data=pickled(fair).replace(b"argparse\nNamespace", b"mine\nOptions\n#######"))
    assert "mine" in refused(machine, **options)


def test_a_pickle_that_is_cut_short_or_no_pickle_is_refused(machine, publish, fair):
    whole = pickled(fair)
    for data in (whole[:-5000], whole[:200], b"<html>no</html>", b"PK\x03\x04" + bytes(1000)):
        publish(data=data)
        assert refused(machine).startswith(("IntegrityError: ", "LayoutError: ")), data[:20]


def test_a_pickle_of_another_model_is_refused(machine, publish, fair):
    fair["model"].pop("blocks.3.norm1.bias")
    publish()
    out = refused(machine)
    assert out.startswith("LayoutError: ")
    assert "blocks.3.norm1.bias" in out


def test_a_wrong_hash_or_size_is_found_before_the_pickle_is_read(machine, publish, fair):
    publish(fair | {"args": Malice()}, sha256="0" * 64)
    assert "0000" in refused(machine)
    assert machine.hub.count("GET") == 0
    publish(size=17)
    assert refused(machine).startswith("IntegrityError: ")
    publish()
    machine.hub.get_faults = [flipped, flipped]
    assert refused(machine).startswith("IntegrityError: ")


def test_the_hubs_own_sha256_is_as_good_as_the_manifests(machine, publish, tiny_state):
    publish(sha256=None, size=None, revision="main")
    path = created(machine, tiny_state)
    machine.hub.close()
    assert created(machine, tiny_state) == path


def test_a_pickle_whose_sha256_nobody_knows_is_converted_knowingly(machine, publish, fair, tiny_state):
    machine.hub.in_git.add((REPO, PTH))
    publish(sha256=None, size=None)
    error = None
    for environment in ({}, {}, {"HF_HUB_OFFLINE": "1"}, {"MAEZOO_VERIFY": "never"}):
        error = refused(machine, **environment)
        assert error.startswith("IntegrityError: ")
    command = shlex.split(error.split("`")[1])
    assert command[:2] == ["maezoo", "convert"]
    run = [sys.executable, "-c", "from maezoo.cli import main; main()", *command[1:]]
    subprocess.run(run, env=machine.environment, cwd=machine.folder, check=True, capture_output=True)
    code = f"""
        import maezoo
        model = {error[error.index("maezoo.create(") :].rstrip(".")}
        print(model.encoder.norm.bias.sum().item())
    """
    assert float(machine.run(code).stdout) == float(tiny_state["encoder.norm.bias"].sum())


def test_never_verifying_does_not_mean_reading_an_unverified_pickle(machine, publish, fair):
    publish()
    machine.run(f"from huggingface_hub import hf_hub_download\nhf_hub_download({REPO!r}, {PTH!r}, revision={COMMIT!r})")
    blob = next(machine.cache.glob("models--*/blobs/*"))
    blob.write_bytes(pickled(fair | {"args": Malice()}))
    assert refused(machine, MAEZOO_VERIFY="never", HF_HUB_OFFLINE="1").startswith("IntegrityError: ")


def test_a_copy_that_was_damaged_is_made_again_without_a_request(machine, publish, tiny_state):
    publish()
    path = created(machine, tiny_state)
    machine.hub.close()
    whole = path.read_bytes()
    for damaged in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[:1000], b""):
        path.write_bytes(damaged)
        assert created(machine, tiny_state) == path
        assert path.read_bytes() == whole


def test_a_copy_of_another_pickle_is_not_used(machine, publish, fair, tiny_state):
    publish({"model": {key: value + 1 for key, value in fair["model"].items()}})
    machine.run()
    sha256 = publish()
    path = created(machine, tiny_state)
    assert metadata_of(path)["maezoo_source"] == sha256


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


def test_a_killed_conversion_leaves_nothing_that_is_taken_for_a_copy(machine, publish, tiny_state):
    publish()
    code = """
        import os, maezoo.files
        import safetensors.torch as st
        original = st.save_file
        def save(tensors, path, *rest):
            original(tensors, path, *rest)
            os.truncate(path, 5000)
            os._exit(9)
        st.save_file = save
        fetch()
    """
    assert machine.run(code).returncode == 9
    created(machine, tiny_state)


def test_the_copy_of_a_cache_that_cannot_be_written_is_kept_at_home(machine, publish, tiny_state):
    publish()
    machine.run(f"from huggingface_hub import hf_hub_download\nhf_hub_download({REPO!r}, {PTH!r}, revision={COMMIT!r})")
    (machine.cache / "models--zoo--tiny/.maezoo").write_text("in the way, whoever runs the tests")
    home = machine.folder / "home/maezoo/converted"
    home.parent.mkdir(parents=True, exist_ok=True)
    home.write_text("in the way")
    out = machine.run(CREATE).stdout
    assert out.startswith("WeightsNotFoundError: ")
    assert "HF_HOME" in out
    assert str(home) in out
    home.unlink()
    assert home in created(machine, tiny_state).parents
    machine.hub.close()
    created(machine, tiny_state)


def test_commands_list_a_pickle_and_its_copy(machine, publish):
    def maezoo(*arguments):
        run = [sys.executable, "-c", "from maezoo.cli import main; main()", *arguments, "--json"]
        done = subprocess.run(
            run, env=machine.environment, cwd=machine.folder, capture_output=True, text=True, check=False
        )
        return done.returncode, json.loads(done.stdout)

    sha256 = publish()
    assert maezoo("verify", NAME)[1][0]["status"] == "absent"
    rc, (done,) = maezoo("download", NAME)
    path = Path(done["path"])
    assert rc == 0
    assert metadata_of(path)["maezoo_source"] == sha256
    rc, (row,) = maezoo("verify", NAME)
    size = path.stat().st_size + len(machine.hub.files[REPO, PTH])
    assert (rc, row["status"], row["path"], row["size"]) == (0, "verified", str(path), size)
    (row,) = maezoo("cache")[1]
    assert (row["path"], row["size"], len(row["files"])) == (str(path), size, 2)
    assert row["verified"]
    shutil.rmtree(machine.cache / "models--zoo--tiny/snapshots")
    assert maezoo("verify")[1][0]["status"] == "verified"
    for damaged in (path.read_bytes()[:-1] + b"\0", b"short"):
        path.write_bytes(damaged)
        rc, (row,) = maezoo("verify")
        assert (rc, row["status"], row["path"]) == (1, "damaged", str(path))


def test_timm_takes_the_copy(machine, publish, tiny_state):
    publish()
    code = """
        import timm, maezoo
        encoder = timm.create_model("mae_vit_tiny.test", pretrained=True)
        print(encoder.norm.bias.sum().item())
    """
    assert float(machine.run(code).stdout) == float(tiny_state["encoder.norm.bias"].sum())
