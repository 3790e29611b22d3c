"""A run whose numbers are no longer finite: it ends with words, and what was good stays."""

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from maezoo.errors import CheckpointError, DivergedError
from maezoo.model import MaskedAutoencoder, find_variant
from maezoo.training import Progress, Recipe, pretrain
from maezoo.training.result import write_result
from maezoo.training.sources.views import Crops

RECIPE = Recipe(views=24, batch_size=4, optimizer="adamw", precision="float32")  # six steps
SMALL = replace(find_variant("mae_vit_tiny"), img_size=32, depth=1, embed_dim=48, decoder_depth=1, decoder_dim=48)


def train(recipe: Recipe, source: "Poisoned", out: Path, **settings: Any) -> MaskedAutoencoder:
    return pretrain(recipe, source, out, variant=SMALL, device="cpu", **settings)


class Poisoned:
    """Noise as images; from a batch on, a pixel of each is NaN."""

    def __init__(self, from_batch: int, then: Callable[[], None] = lambda: None) -> None:
        self.left, self.then = from_batch, then

    def __len__(self) -> int:
        return 8

    def views(self, indices: Tensor, crops: Crops, size: int) -> Tensor:
        images = torch.rand(len(indices), 3, size, size, generator=torch.Generator().manual_seed(int(indices[0])))
        self.left -= 1
        if self.left < 0:
            images[:, :, :: size // 2] = float("nan")
            self.then()
        return images

    def describe(self) -> str:
        return "noise"


def saved(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "checkpoint.safetensors")


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("ema", [0.0, 0.999])
@pytest.mark.parametrize("seconds", [0.0, 300.0])
def test_the_last_finite_checkpoint_stays_and_is_named(
    optimizer: str, ema: float, seconds: float, tmp_path: Path
) -> None:
    """Whether the checkpoint comes due after each step or the run ends: no NaN is written over it."""
    recipe = replace(RECIPE, optimizer=optimizer, ema=ema)
    with pytest.raises(FloatingPointError, match=r"no checkpoint|keeps step 3, the last finite one") as caught:
        train(recipe, Poisoned(3), tmp_path, checkpoint_seconds=seconds)
    if seconds:
        assert "no checkpoint was written yet" in str(caught.value)
        assert not (tmp_path / "checkpoint.safetensors").exists()
        return
    assert str(tmp_path / "checkpoint.safetensors") in str(caught.value)
    assert all(torch.isfinite(value).all() for value in saved(tmp_path).values())
    assert not list(tmp_path.glob(".*.safetensors"))
    resumed = train(recipe, Poisoned(99), tmp_path)
    whole = train(recipe, Poisoned(99), tmp_path / "whole")
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in resumed.state_dict().items())


def test_ctrl_c_in_a_diverged_run_writes_nothing(tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.step == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(RECIPE, Poisoned(9), tmp_path, report=stop, report_every=1)
    before = saved(tmp_path)
    with pytest.raises(DivergedError, match="keeps step 2") as caught:
        train(RECIPE, Poisoned(1, lambda: signal.raise_signal(signal.SIGINT)), tmp_path)
    assert caught.value.path == str(tmp_path / "checkpoint.safetensors")
    assert all(torch.equal(value, before[name]) for name, value in saved(tmp_path).items())


def test_the_last_step_may_be_the_one_that_diverges(tmp_path: Path) -> None:
    """Its loss is that of the weights before: finite."""
    wild = replace(RECIPE, optimizer="adamw", base_lr=1e41, warmup=0.0, views=4, ema=0.0)
    with pytest.raises(FloatingPointError, match=r"(model|optimizer)/.* became NaN or infinite by step 1"):
        train(wild, Poisoned(9), tmp_path)
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_a_checkpoint_of_a_diverged_run_is_not_resumed(tmp_path: Path) -> None:
    train(RECIPE, Poisoned(9), tmp_path)
    from safetensors import safe_open

    path = tmp_path / "checkpoint.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = saved(tmp_path)
    for name in ("model/model.encoder.cls_token", "ema/model.encoder.cls_token"):
        spoilt = tensors[name].clone()
        spoilt[..., 3] = float("inf")
        save_file(tensors | {name: spoilt}, path, metadata)
        with pytest.raises(CheckpointError, match=rf"diverged: {name}"):
            train(RECIPE, Poisoned(9), tmp_path)


def test_no_model_file_holds_nan_nor_what_half_precision_cannot(tmp_path: Path) -> None:
    source = Poisoned(9)
    model = train(replace(RECIPE, views=4), source, tmp_path)
    path = write_result(model, RECIPE, source, tmp_path / "model.safetensors")
    assert load_file(path)["encoder.cls_token"].dtype == torch.float16
    with torch.no_grad():
        model.encoder.cls_token[..., 0] = 1e5
        write_result(model, RECIPE, source, path)
        assert load_file(path)["encoder.cls_token"][0, 0, 0] == 1e5
        model.encoder.cls_token[..., 0] = float("nan")
    before = path.read_bytes()
    with pytest.raises(FloatingPointError, match=r"encoder\.cls_token.*stays"):
        write_result(model, RECIPE, source, path)
    assert path.read_bytes() == before
