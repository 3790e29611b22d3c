"""Pretraining: runs that learn, stop and are resumed, and the file of the finished model."""

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import maezoo
from maezoo.errors import ArgumentError, CheckpointError, DataError
from maezoo.model import MaskedAutoencoder, find_variant
from maezoo.training import ImageSource, Progress, Recipe, open_source, pretrain, write_pack
from maezoo.training.result import write_result
from maezoo.training.sources.views import Crops
from tests.training.stopping import stops_at

SHORT = Recipe(views=24, batch_size=4, precision="float32")
SMALL = replace(
    find_variant("mae_vit_tiny"), name="small", img_size=32, depth=1, embed_dim=48, decoder_depth=1, decoder_dim=48
)


def train(recipe: Recipe, source: ImageSource, out: Path, **settings: Any) -> MaskedAutoencoder:
    """Pretrain a model so small that a step takes no time, on processors that emulate bfloat16 too."""
    return pretrain(recipe, source, out, variant=SMALL, device="cpu", **settings)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory, photos: list[Path]) -> Path:
    path = tmp_path_factory.mktemp("pack") / "photos.npz"
    write_pack(path, photos, size=112)
    return path


def same(a: MaskedAutoencoder, b: MaskedAutoencoder) -> bool:
    return all(torch.equal(x, b.state_dict()[name]) for name, x in a.state_dict().items())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_stopped_run_is_resumed_to_the_same_bits(optimizer: str, precision: str, pack: Path, tmp_path: Path) -> None:
    recipe = replace(SHORT, optimizer=optimizer, precision=precision)
    source = open_source(pack)
    whole = train(recipe, source, tmp_path / "whole")

    with pytest.raises(KeyboardInterrupt):
        train(recipe, source, tmp_path / "parts", report=stops_at(3), report_every=1)
    resumed = train(recipe, source, tmp_path / "parts")
    assert same(whole, resumed)
    steps = [json.loads(line)["step"] for line in (tmp_path / "parts" / "log.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 6]


class CtrlCInTheMiddle:
    """A source that sends Ctrl-C from its own thread while the trainer is inside a step."""

    def __init__(self, source: ImageSource, at: int) -> None:
        self.source, self.left = source, at

    def __len__(self) -> int:
        return len(self.source)

    def views(self, indices: torch.Tensor, crops: Crops, size: int) -> torch.Tensor:
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)
        return self.source.views(indices, crops, size)

    def describe(self) -> str:
        return self.source.describe()


def test_ctrl_c_in_the_middle_of_a_step_waits_for_its_end(pack: Path, tmp_path: Path) -> None:
    source = open_source(pack)
    whole = train(SHORT, source, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(SHORT, CtrlCInTheMiddle(source, at=4), tmp_path / "parts")
    assert same(whole, train(SHORT, source, tmp_path / "parts"))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_weights_are_drawn_without_reseeding_anything_else(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "manual_seed", lambda seed: pytest.fail("reseeds every device"))
    before = torch.get_rng_state()
    train(replace(SHORT, views=4), open_source(pack), tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_bar_shows_the_steps(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(SHORT, open_source(pack), tmp_path, progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "6/6" in captured.err


def test_a_second_run_in_the_folder_is_refused(pack: Path, tmp_path: Path) -> None:
    def second(progress: Progress) -> None:
        with pytest.raises(DataError, match="another run is writing"):
            train(SHORT, open_source(pack), tmp_path)

    train(SHORT, open_source(pack), tmp_path, report=second, report_every=3)


def test_a_finished_run_is_not_run_again(pack: Path, tmp_path: Path) -> None:
    first = train(SHORT, open_source(pack), tmp_path)
    again = train(SHORT, open_source(pack), tmp_path, report=lambda p: pytest.fail("trained again"))
    assert same(first, again)


def test_another_recipe_is_refused(pack: Path, tmp_path: Path) -> None:
    train(SHORT, open_source(pack), tmp_path)
    with pytest.raises(CheckpointError, match=r"mask_ratio was 0\.75, now 0\.6"):
        train(replace(SHORT, mask_ratio=0.6), open_source(pack), tmp_path)
    train(replace(SHORT, precision="auto"), open_source(pack), tmp_path)  # another machine may resume it
    (tmp_path / "checkpoint.safetensors").write_bytes(b"rubbish")
    with pytest.raises(CheckpointError, match="Remove it"):
        train(SHORT, open_source(pack), tmp_path)


def test_it_learns(pack: Path, tmp_path: Path) -> None:
    """Some steps on four photographs take the loss well below that of untrained weights."""
    losses: list[float] = []
    recipe, four = replace(SHORT, views=16 * 150, batch_size=16), open_source(*[pack] * 4)
    train(recipe, four, tmp_path, report=lambda p: losses.append(p.loss), report_every=25)
    assert losses[-1] < 0.7 * losses[0]


def test_the_result_is_a_model_file(pack: Path, tmp_path: Path) -> None:
    source = open_source(pack)
    trained = pretrain(replace(SHORT, views=4, optimizer="adamw"), source, tmp_path, device="cpu")
    path = write_result(trained, SHORT, source, tmp_path / "model.safetensors", license="apache-2.0")
    assert path.stat().st_size < 9e6  # half precision
    model = maezoo.create("mae_vit_tiny", checkpoint=path, device="cpu")
    images = torch.randn(2, 3, 96, 96)
    torch.testing.assert_close(
        model.features(images), trained.encode_tokens(images)[:, 0].detach(), atol=1e-2, rtol=1e-2
    )
    assert model.dtype == torch.float32
    folder = tmp_path / "run.safetensors"  # the folder of a run may have any name
    folder.mkdir()
    assert write_result(trained, SHORT, source, folder) == folder / "model.safetensors"


def test_the_second_loss_trains_the_encoder_and_leaves_no_trace(pack: Path, tmp_path: Path) -> None:
    source, both = open_source(pack), replace(SHORT, normpix_weight=1.0)
    model = train(both, source, tmp_path / "both")
    alone = train(SHORT, source, tmp_path / "alone")
    assert model.state_dict().keys() == alone.state_dict().keys()
    assert not same(model, alone)

    with pytest.raises(KeyboardInterrupt):
        train(both, source, tmp_path / "parts", report=stops_at(3), report_every=1)
    assert same(model, train(both, source, tmp_path / "parts"))  # its head is in the checkpoint


def test_another_shape(pack: Path, tmp_path: Path) -> None:
    variant = replace(SMALL, img_size=64, depth=2)
    model = pretrain(SHORT, open_source(pack), tmp_path, variant=variant, device="cpu")
    assert (model.img_size, len(model.encoder.blocks)) == ((64, 64), 2)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # the compiler's own, where it splits a graph
def test_compiled_steps_learn_the_same(pack: Path, tmp_path: Path) -> None:
    source = open_source(pack)
    eager, compiled = (train(SHORT, source, tmp_path / str(compile), compile=compile) for compile in (False, True))
    for name, value in eager.state_dict().items():
        torch.testing.assert_close(compiled.state_dict()[name], value, atol=5e-3, rtol=0)


def test_a_diverging_run_stops_with_words(pack: Path, tmp_path: Path) -> None:
    wild = replace(SHORT, optimizer="adamw", base_lr=1e12, warmup=0.0, clip=1e12)
    with pytest.raises(FloatingPointError, match="lower rate"):
        train(wild, open_source(pack), tmp_path, report_every=1)


def test_a_model_trained_in_bfloat16_computes_as_one_that_is_loaded(pack: Path, tmp_path: Path) -> None:
    model = train(replace(SHORT, views=4, optimizer="adamw", precision="bfloat16"), open_source(pack), tmp_path)
    assert all(block.attn.fused_attn for block in model.encoder.blocks)


def test_reports_that_never_come_are_refused(pack: Path, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="report_every=0"):
        train(SHORT, open_source(pack), tmp_path, report_every=0)
