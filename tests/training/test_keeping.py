"""Checkpoints that stay: the last good one, whatever comes after it; and runs that continue another's."""

import json
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from maezoo.errors import CheckpointError, DiskFullError, DivergedError
from maezoo.training import Progress
from maezoo.training.watching.steadiness import Steadiness
from tests.training.stopping import stops_at
from tests.training.watching.conftest import RECIPE, SMALL, Noise, same, train

ALWAYS = 0.0  # seconds between checkpoints


def step_of(path: Path) -> int:
    with safe_open(path, "pt") as file:
        return int(file.metadata()["step"])


def kept(folder: Path) -> dict[str, int]:
    return {path.name: step_of(path) for path in folder.glob("*.safetensors")}


def test_the_newest_checkpoint_and_the_one_before_are_kept(tmp_path: Path) -> None:
    train(tmp_path, checkpoint_seconds=ALWAYS)
    assert kept(tmp_path) == {"checkpoint.safetensors": 10, "checkpoint-00000009.safetensors": 9}


def test_a_run_that_was_killed_while_it_renamed_resumes_from_what_is_there(tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.step == 5:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", report=stop)
    newest = tmp_path / "parts" / "checkpoint.safetensors"
    newest.rename(newest.with_name("checkpoint-00000005.safetensors"))
    whole = train(tmp_path / "whole")
    assert same(whole, train(tmp_path / "parts"))


def test_checkpoints_of_a_spike_do_not_replace_the_last_good_one(tmp_path: Path) -> None:
    def blind(images: Tensor) -> None:
        images.mul_(4)  # the loss rises by far, and stays finite

    train(tmp_path, source=Noise(5, blind), checkpoint_seconds=ALWAYS)
    assert kept(tmp_path) == {"checkpoint.safetensors": 10, "checkpoint-00000005.safetensors": 5}


def test_a_run_that_loses_all_it_learned_ends_and_another_continues_its_good_checkpoint(tmp_path: Path) -> None:
    lost = tmp_path / "lost"
    with pytest.raises(DivergedError, match=r"loss rose from .* at best to .* by step 6; .*--resume-from") as caught:
        train(lost, source=Noise(5, lambda images: images.mul_(1000)), checkpoint_seconds=ALWAYS)
    good = lost / "checkpoint.safetensors"
    assert caught.value.path == str(good)
    assert step_of(good) == 5
    state = json.loads((lost / "run.json").read_text())
    assert (state["state"], state["good"], "by step 6" in state["why"]) == ("diverged", good.name, True)
    before = good.read_bytes()
    calm = replace(RECIPE, base_lr=1e-4, batch_size=2)
    found: list[int] = []
    model = train(tmp_path / "next", calm, resume_from=lost, report=lambda progress: found.append(progress.step))
    assert found[0] == 11  # five batches of four are ten of two
    assert found[-1] == 20
    assert good.read_bytes() == before
    assert same(model, train(tmp_path / "next", calm, resume_from=good))  # the same run again: it is finished


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_an_absurd_rate_diverges_and_a_sane_one_continues(optimizer: str, tmp_path: Path) -> None:
    """Two sane steps, then a rate that climbs to an absurd one."""
    wild = replace(RECIPE, optimizer=optimizer, base_lr=1e9, muon_lr=1e9, warmup=0.5, views=160, clip=1.0)
    with pytest.raises(DivergedError, match=r"--resume-from|no checkpoint was written yet"):
        train(tmp_path / "wild", wild, checkpoint_seconds=ALWAYS)
    first = replace(wild, base_lr=1e-3, muon_lr=1e-3)
    train(tmp_path / "first", first)
    on = replace(first, views=200, base_lr=1e-4, muon_lr=1e-4)
    losses: list[float] = []
    train(tmp_path / "on", on, resume_from=tmp_path / "first", report=lambda progress: losses.append(progress.loss))
    assert len(losses) == 10
    assert max(losses) < 5


def test_a_run_goes_back_to_a_step_of_its_own(tmp_path: Path) -> None:
    train(tmp_path, checkpoint_seconds=ALWAYS)
    other = replace(RECIPE, base_lr=1e-4)
    with pytest.raises(CheckpointError, match="base_lr was"):
        train(tmp_path, other)
    with pytest.raises(CheckpointError, match="no checkpoint of step 7; it has 9, 10"):
        train(tmp_path, other, resume_from=7)
    once = train(tmp_path, other, resume_from=9)
    steps = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 11))
    assert same(once, train(tmp_path, other, resume_from=9))


def test_a_run_is_resumed_although_the_one_that_it_continues_has_moved_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "first", report=stops_at(5))
    once = train(tmp_path / "second", resume_from=tmp_path / "first")
    train(tmp_path / "first")
    again = train(tmp_path / "second", resume_from=tmp_path / "first", report=lambda _: pytest.fail("again"))
    assert same(once, again)
    train(tmp_path / "third")
    with pytest.raises(CheckpointError, match="resumed_from was"):
        train(tmp_path / "second", resume_from=tmp_path / "third")


def test_what_must_be_the_same_is_named(tmp_path: Path) -> None:
    train(tmp_path / "first")
    for recipe, settings, message in (
        (replace(RECIPE, optimizer="muon", views=80), {}, "optimizer was 'adamw', now 'muon'"),
        (replace(RECIPE, target="normpix", views=80), {}, "target was 'pixel', now 'normpix'"),
        (replace(RECIPE, views=80), {"variant": replace(SMALL, embed_dim=96)}, r"another shape: .*\(1, 1, 48\)"),
        (RECIPE, {}, "has done 10 steps, and the run takes 10"),
    ):
        with pytest.raises(CheckpointError, match=message):
            train(tmp_path / "second", recipe, resume_from=tmp_path / "first", **settings)
    with pytest.raises(CheckpointError, match="neither a checkpoint nor a folder"):
        train(tmp_path / "second", resume_from=tmp_path / "nowhere")


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files")
def test_a_disk_that_fills_up_while_saving_costs_that_checkpoint_alone(tmp_path: Path) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(progress: Progress) -> None:
        if progress.step == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))

    try:
        with pytest.raises(DiskFullError, match=r"cannot be written"):
            train(tmp_path / "full", report=fill, checkpoint_seconds=ALWAYS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert kept(tmp_path / "full") == {"checkpoint.safetensors": 2, "checkpoint-00000001.safetensors": 1}
    assert not list((tmp_path / "full").glob(".*.safetensors"))
    assert same(train(tmp_path / "full"), train(tmp_path / "whole"))


def test_a_loss_that_is_not_there_is_no_spike() -> None:
    assert not Steadiness().spikes
    assert torch.isnan(torch.tensor(Steadiness().lowest))
