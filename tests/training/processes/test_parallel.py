"""One run in several processes: the sums of one, checkpoints for any number of them, and an end that they share."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from maezoo.errors import ArgumentError, SettingError
from maezoo.training import pretrain
from maezoo.training.masking import masks
from maezoo.training.processes.processes import find_place
from tests.training.processes.sharing import RECIPE, SMALL, WAYS, Noise, train, unequal

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node")
posix = pytest.mark.skipif(os.name != "posix", reason="sends signals, and gloo for Windows is another one")


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())}


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the same runs in several processes."""
    out = tmp_path_factory.mktemp("shared")
    command = [*TORCHRUN, str(request.param), "-m", "tests.training.processes.sharing", str(out)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


def close(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether losses and gradients agree to the last digits of float32."""
    torch.testing.assert_close(torch.tensor(a["losses"]), torch.tensor(b["losses"]), atol=0, rtol=1e-6)
    for name, gradient in a["gradients"].items():
        torch.testing.assert_close(b["gradients"][name], gradient, atol=1e-6, rtol=1e-6)
    return a["gradients"].keys() == b["gradients"].keys()


@posix
def test_losses_and_gradients_are_those_of_one_process(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = torch.load(shared / "found.pt")
    alone = train(tmp_path / "alone")
    assert all(close(alone, found[way]) for way in WAYS)
    assert close(alone, train(tmp_path / "parts", accumulate=3))
    monkeypatch.setattr(masks, "draw_mask", unequal)
    assert close(train(tmp_path / "unequal", replace(RECIPE, normpix_weight=0.0)), found["unequal"])


@posix
@pytest.mark.parametrize("way", ["ddp", "fsdp"])
def test_a_checkpoint_of_several_processes_is_read_by_one(way: str, shared: Path) -> None:
    """Its averages too; and what is written next replaces it."""
    found = torch.load(shared / "found.pt")[way]["state"]
    model = pretrain(RECIPE, Noise(), shared / way, variant=SMALL, device="cpu", report=lambda _: pytest.fail("again"))
    for name, value in found.items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=0, atol=0)


def test_shares_of_one_process_are_resumed_to_the_same_bits(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", parallel="fsdp")

    def stop(progress: Any) -> None:
        if progress.step == 2:
            signal.raise_signal(signal.SIGINT)

    settings: dict[str, Any] = {"variant": SMALL, "device": "cpu", "parallel": "fsdp", "report_every": 1}
    with pytest.raises(KeyboardInterrupt):
        pretrain(RECIPE, Noise(), tmp_path / "parts", report=stop, **settings)
    assert [path.name for path in (tmp_path / "parts").glob("checkpoint*")] == ["checkpoint"]
    model = pretrain(RECIPE, Noise(), tmp_path / "parts", **settings)
    assert all(torch.equal(value, whole["state"][name]) for name, value in model.state_dict().items())
    assert {path.name for path in (tmp_path / "parts").glob("checkpoint*")} == {"checkpoint", "checkpoint-00000002"}


@pytest.mark.slow
@posix
@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_process_ends_the_others_and_the_same_command_resumes(
    killed: int, coloured: Callable[..., Path], tmp_path: Path
) -> None:
    shape = ["--img-size", "32", "--decoder-dim", "48", "--decoder-depth", "1", "--precision", "float32"]
    options = [*shape, "--batch-size", "6", "--views", "1200", "--optimizer", "adamw"]
    command = [*TORCHRUN, "2", "-m", "maezoo", "pretrain", str(coloured()), *options, "-o"]
    running = subprocess.Popen(
        [*command, str(tmp_path / "run")], env=environment(), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    while not (tmp_path / "run" / "log.jsonl").exists() and running.poll() is None:
        time.sleep(0.1)
    psutil = pytest.importorskip("psutil")
    workers = sorted(psutil.Process(running.pid).children(), key=lambda worker: worker.environ()["RANK"])
    workers[killed].kill()
    began = time.monotonic()
    _, told = running.communicate()
    assert time.monotonic() - began < 20
    assert told.count("ended before its time") == 1, told
    for folder in ("run", "whole"):
        subprocess.run([*command, str(tmp_path / folder)], env=environment(), capture_output=True, check=True)
    files = [(tmp_path / folder / "model.safetensors").read_bytes() for folder in ("run", "whole")]
    assert files[0] == files[1]
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert steps[-1] == 200


@pytest.mark.parametrize("wrong", [{"accumulate": 11}, {"accumulate": 0}, {"parallel": "tensor"}])
def test_steps_that_cannot_be_divided(wrong: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        train(tmp_path, **wrong)


def test_launchers_say_where_a_process_stands() -> None:
    torchrun = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "1"}
    slurm = {"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_LOCALID": "1", "SLURM_STEP_ID": "0"}
    for variables in (torchrun, slurm | {"SLURM_JOB_NODELIST": "cpu1,gpu[3-4]"}, torchrun | slurm):
        place = find_place(variables)
        assert place is not None
        assert (place.rank, place.size, place.local_rank) == (3, 4, 1)
    assert "cpu1:15000" in find_place(slurm | {"SLURM_JOB_NODELIST": "cpu1,gpu[3-4]"}).url  # type: ignore[union-attr]
    assert find_place({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}) is None  # the batch script itself
    for wrong in ({**torchrun, "RANK": "x"}, {"RANK": "0", "WORLD_SIZE": "2"}):
        with pytest.raises(SettingError, match="RANK"):
            find_place(wrong)
