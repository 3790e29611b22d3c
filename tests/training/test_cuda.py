"""Training on CUDA: the losses of the CPU, and a run that resumes."""

import json
from pathlib import Path

import pytest
import torch

from maezoo.training import Recipe, open_source, pretrain

pytestmark = pytest.mark.gpu
PHOTOS = Path(__file__).parent.parent / "data" / "photos"


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_losses_are_those_of_the_cpu(tmp_path: Path, optimizer: str) -> None:
    recipe = Recipe(views=12, batch_size=4, precision="float32", optimizer=optimizer, normpix_weight=1.0)
    for device in ("cpu", "cuda"):
        pretrain(recipe, open_source(PHOTOS), tmp_path / device, device=device, report_every=1)
    assert losses(tmp_path / "cuda") == pytest.approx(losses(tmp_path / "cpu"), rel=2e-2)


def test_a_stopped_run_is_resumed(tmp_path: Path) -> None:
    recipe = Recipe(views=24, batch_size=4, precision="auto")

    def stop(progress: object) -> None:
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        pretrain(
            recipe, open_source(PHOTOS), tmp_path, device="cuda", report=stop, report_every=3, checkpoint_seconds=0
        )
    model = pretrain(recipe, open_source(PHOTOS), tmp_path, device="cuda", report_every=1)
    assert next(model.parameters()).is_cuda
    assert all(torch.isfinite(p).all() for p in model.parameters())
