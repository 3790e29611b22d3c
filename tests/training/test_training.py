"""Pretraining: the schedule, the data, and runs that stop and go on."""

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import maezoo
from maezoo.errors import ArgumentError, CheckpointError, DataError
from maezoo.model import MaskedAutoencoder, find_variant
from maezoo.training import ImageSource, ListedImages, PackedImages, Progress, Recipe, open_source, pretrain, write_pack
from maezoo.training.result import write_result
from maezoo.training.sources.views import Crops, crop_batch, draw_crops, draw_indices, step_generator

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
def test_a_stopped_run_goes_on_to_the_same_bits(optimizer: str, precision: str, pack: Path, tmp_path: Path) -> None:
    recipe = replace(SHORT, optimizer=optimizer, precision=precision)
    source = open_source(pack)
    whole = train(recipe, source, tmp_path / "whole")

    def stop(progress: Progress) -> None:
        if progress.step == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(recipe, source, tmp_path / "parts", report=stop, report_every=1)
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
    train(replace(SHORT, precision="auto"), open_source(pack), tmp_path)  # another machine may go on
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


def test_the_second_loss_trains_the_encoder_and_leaves_no_trace(pack: Path, tmp_path: Path) -> None:
    source, both = open_source(pack), replace(SHORT, normpix_weight=1.0)
    model = train(both, source, tmp_path / "both")
    alone = train(SHORT, source, tmp_path / "alone")
    assert model.state_dict().keys() == alone.state_dict().keys()
    assert not same(model, alone)

    def stop(progress: Progress) -> None:
        if progress.step == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(both, source, tmp_path / "parts", report=stop, report_every=1)
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


def test_folders_and_their_broken_files(tmp_path: Path, photos: list[Path]) -> None:
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    for index, path in enumerate(photos):
        Image.open(path).save(folder / "deep" / f"{index}.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    source = open_source(folder)
    assert isinstance(source, ListedImages)
    assert len(source) == len(photos) + 1
    crops = draw_crops(len(source), (0.5, 1.0), (0.75, 1.33), step_generator(0, 0))
    views = source.views(torch.arange(len(source)), crops, 32)
    assert views.shape == (len(source), 3, 32, 32)
    assert views[0].isnan().all()
    assert 0 <= views[1:].min() < views[1:].max() <= 1
    assert list(source.unreadable) == list(source.left_out()) == [str(folder / "broken.jpg")]


def test_sources_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        open_source(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no image was found"):
        open_source(tmp_path)
    (tmp_path / "x.npz").write_bytes(b"PK nothing")
    with pytest.raises(DataError, match="not a pack"):
        open_source(tmp_path / "x.npz")
    np.savez(tmp_path / "bad.npz", blob=np.zeros(3, np.uint8), offset=np.array([0, 3]))
    with pytest.raises(DataError, match="image 0 of the pack") as caught:
        open_source(tmp_path / "bad.npz")
    assert caught.value.index == 0
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "a.jpg").write_bytes(b"?")
    broken = open_source(tmp_path / "only")
    with pytest.raises(DataError, match="none of the 1 images"):
        broken.views(torch.tensor([0]), draw_crops(1, (1, 1), (1, 1), step_generator(0, 0)), 16)


def test_a_pack_holds_what_was_packed(pack: Path, photos: list[Path]) -> None:
    source = open_source(pack)
    assert isinstance(source, PackedImages)
    assert source.images.shape == (len(photos), 3, 112, 112)
    whole = Crops(*(torch.tensor([value]) for value in (1.0, 1.0, 0.5, 0.5)), flip=torch.tensor([False]))
    view = source.views(torch.tensor([1]), whole, 112)
    torch.testing.assert_close(view[0], source.images[1] / 255, atol=1e-5, rtol=0)


@settings(max_examples=40, deadline=None)
@given(images=st.integers(1, 30), batch=st.integers(1, 16), epochs=st.integers(1, 4), seed=st.integers(0, 5))
def test_each_epoch_shows_each_image_once(images: int, batch: int, epochs: int, seed: int) -> None:
    steps = -(-images * epochs // batch)
    order = torch.cat([draw_indices(images, batch, step, seed) for step in range(steps)])
    for epoch in range(epochs):
        assert sorted(order[epoch * images : (epoch + 1) * images].tolist()) == list(range(images))


def test_crops_and_flips() -> None:
    ramp = torch.arange(64, dtype=torch.uint8).repeat(64, 1).expand(3, -1, -1)[None]  # grows to the right

    def crop(flip: bool, left: float = 0.5, area: float = 1.0) -> torch.Tensor:
        numbers = (torch.tensor([value]) for value in (area, 1.0, left, 0.5))
        return crop_batch(ramp, Crops(*numbers, flip=torch.tensor([flip])), 64)[0, 0, 0] * 255

    torch.testing.assert_close(crop(False), ramp[0, 0, 0].float(), atol=1e-3, rtol=0)
    torch.testing.assert_close(crop(True), ramp[0, 0, 0].float().flip(0), atol=1e-3, rtol=0)
    left, right = crop(False, left=0.0, area=0.25), crop(False, left=1.0, area=0.25)
    assert left.max() <= 32
    assert right.min() >= 31


@settings(max_examples=40, deadline=None)
@given(area=st.floats(0.05, 1), aspect=st.floats(0.5, 2), left=st.floats(0, 1), top=st.floats(0, 1), flip=st.booleans())
def test_crops_stay_inside(area: float, aspect: float, left: float, top: float, flip: bool) -> None:
    """A crop of an image of one value never shows anything else, whatever its shape."""
    images = torch.full((1, 3, 40, 56), 77, dtype=torch.uint8)
    numbers = (torch.tensor([value]) for value in (area, aspect, left, top))
    view = crop_batch(images, Crops(*numbers, flip=torch.tensor([flip])), 16)
    torch.testing.assert_close(view * 255, torch.full((1, 3, 16, 16), 77.0), atol=1e-3, rtol=0)


def test_schedule() -> None:
    recipe = Recipe(views=64_000, batch_size=64, warmup=0.1)
    factors = [recipe.lr_factor(step) for step in range(recipe.steps)]
    assert factors[0] == 0.01
    assert factors[99] == 1.0
    assert max(factors) == 1.0
    assert factors[-1] < 1e-4
    assert np.all(np.diff(factors[100:]) <= 0)
    assert Recipe(base_lr=1.5e-4, batch_size=4096).adamw_lr == pytest.approx(2.4e-3)  # the paper's, table 8


@pytest.mark.parametrize(
    ("width", "batch_size", "optimizer", "rate"),
    [
        (768, 256, "adamw", 1.5e-4),
        (1024, 4096, "adamw", 2.4e-3),
        (768, 16_384, "adamw", 2.4e-3),
        (192, 64, "muon", 1.5e-3),
        (384, 4096, "muon", 2.4e-3),
    ],
)
def test_optimizer_and_rate_follow_from_the_model(width: int, batch_size: int, optimizer: str, rate: float) -> None:
    recipe = Recipe(batch_size=batch_size).completed(width)
    assert (recipe.optimizer, recipe.adamw_lr) == (optimizer, pytest.approx(rate))


def test_what_a_recipe_says_stays() -> None:
    said = Recipe(optimizer="adamw", base_lr=1e-2, batch_size=4096)
    assert said.completed(192) == said
    with pytest.raises(ArgumentError, match="completed"):
        _ = Recipe().adamw_lr


@pytest.mark.parametrize(
    "wrong",
    [
        {"views": 0},
        {"mask_ratio": 1.0},
        {"mask_strategy": "stripes"},
        {"mask_cell": 0},
        {"predict": 0.0},
        {"crop": (0.0, 1.0)},
        {"ema": 1.0},
        {"optimizer": "sgd"},
        {"precision": "int8"},
    ],
)
def test_impossible_recipes(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Recipe(**wrong)  # type: ignore[arg-type]
