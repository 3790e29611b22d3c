"""MAE.optimize(): the same answers on every engine, a choice that is remembered, and a model that is frozen."""

import copy
import json
import pickle
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import maezoo
from maezoo import MAE
from maezoo.api.optimized import OptimizedMAE, optimize_for
from maezoo.engines import ENGINES, TASKS
from maezoo.errors import DecoderMissingError, EngineError, MissingExtraError, SizeError
from maezoo.hardware import int8_saturates

EXACT = [name for name, engine in ENGINES.items() if "float32" in engine.precisions and name != "inductor"]


@pytest.fixture(scope="module")
def model() -> MAE:
    return maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")


@pytest.fixture
def shallow() -> MAE:
    """One block of the encoder and one of the decoder: what does not depend on the depth costs a third as much."""
    return cut_to_one_block(maezoo.create("mae_vit_tiny", pretrained=True, device="cpu"))


def cut_to_one_block(model: MAE) -> MAE:
    model.encoder.blocks = model.encoder.blocks[:1]
    model.require_decoder().blocks = model.require_decoder().blocks[:1]
    return model


def here(name: str, precision: str = "float32") -> None:
    if not ENGINES[name].is_available():
        pytest.skip(f"{name} is not installed")
    if not ENGINES[name].computes(precision):
        pytest.skip(f"{name} does not compute in {precision} on this processor")


def optimised(model: MAE, folder: Path, **arguments: Any) -> OptimizedMAE:
    return model.optimize(**{"batch_sizes": (1, 4), "cache_dir": folder, **arguments})


@pytest.fixture(scope="module", params=EXACT)
def pair(request: pytest.FixtureRequest, model: MAE, tmp_path_factory: pytest.TempPathFactory) -> tuple[MAE, MAE]:
    """A model, and the same on one engine."""
    here(request.param)
    return model, optimised(model, tmp_path_factory.mktemp("choices"), engine=request.param, tasks=TASKS)


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.dtype == expected.dtype
    assert not found.is_inference()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_features(pair: tuple[MAE, MAE], photos: list[Path]) -> None:
    model, fast = pair
    expected = model.features(photos, pool="cls+mean")
    for batch_size in (1, 2, 3, 5):  # batches that are whole chunks, parts of one, and one and a rest
        close(fast.features(photos, pool="cls+mean", batch_size=batch_size), expected)
    assert torch.equal(fast.features(photos), fast.features(photos))


@pytest.mark.parametrize("ratio", [0.0, 0.5, 0.75, 143 / 144, 1.0])
def test_masked_encoding_at_every_ratio(pair: tuple[MAE, MAE], photos: list[Path], ratio: float) -> None:
    model, fast = pair
    mask = maezoo.random_mask(len(photos), model.grid_size, ratio, seed=1)
    close(fast.encode(photos, mask=mask), model.encode(photos, mask=mask))


@pytest.mark.parametrize("ratio", [0.3, 0.75, 1.0])
def test_reconstruction(pair: tuple[MAE, MAE], photos: list[Path], ratio: float) -> None:
    model, fast = pair
    found, expected = (each.reconstruct(photos, mask_ratio=ratio, seed=2) for each in (fast, model))
    close(found.predicted, expected.predicted)
    close(found.loss, expected.loss)


def test_rows_that_hide_different_numbers(pair: tuple[MAE, MAE]) -> None:
    model, fast = pair
    images = torch.randn(3, 3, 96, 96)
    mask = torch.rand(3, 144) < torch.tensor([[0.2], [0.5], [0.9]])
    close(fast.predict(images, mask), model.predict(images, mask))


def test_other_sizes_run_in_eager_pytorch(pair: tuple[MAE, MAE]) -> None:
    model, fast = pair
    images = torch.randn(2, 3, 64, 128)
    assert torch.equal(fast.features(images), model.features(images))
    with pytest.raises(SizeError):
        fast.features(torch.randn(1, 3, 97, 96))


def test_no_images_give_no_features(pair: tuple[MAE, MAE]) -> None:
    assert pair[1].features(torch.zeros(0, 3, 96, 96)).shape == (0, 192)


def test_maps_and_saving_go_on_working(pair: tuple[MAE, MAE], photos: list[Path], tmp_path: Path) -> None:
    model, fast = pair
    assert torch.equal(fast.feature_maps(photos)[0], model.feature_maps(photos)[0])
    fast.save_pretrained(tmp_path)
    again = maezoo.create(f"local-dir:{tmp_path}", device="cpu")
    assert torch.equal(again.features(photos), model.features(photos))


def test_what_the_weights_ask_for_holds_for_the_optimised_model(photos: list[Path], tmp_path: Path) -> None:
    kept = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
    facts = replace(kept.facts, pooling="cls+mean", resampling="aligned")
    model = MAE(kept.encoder, kept.decoder, preprocess=kept.preprocess, target=kept.target, facts=facts)
    fast = optimised(model, tmp_path, engine="eager")
    assert fast.facts == model.facts
    close(fast.features(photos), model.features(photos))
    larger = torch.randn(1, 3, 128, 96)
    close(fast.features(larger), model.features(larger))


def test_a_number_format_that_no_engine_has_is_left_as_it_is_or_refused(tmp_path: Path) -> None:
    model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu").double()
    assert optimize_for(model, "features", 10_000, batch_size=8) is model
    with pytest.raises(ValueError, match="precision='float32'"):
        optimised(model, tmp_path, engine="eager")
    assert optimised(model, tmp_path, engine="eager", precision="float32").plan.precision == "float32"


def test_the_original_is_left_alone(model: MAE, photos: list[Path], tmp_path: Path) -> None:
    before = model.features(photos)
    model.train()
    fast = optimised(model, tmp_path, engine="pytorch")
    assert optimize_for(model, "features", 1000, batch_size=4) is not model
    assert model.training
    assert model.encoder.blocks[0].training
    model.eval()
    assert torch.equal(model.features(photos), before)
    close(fast.features(photos), before)


@pytest.mark.parametrize("engine", EXACT)
def test_what_becomes_of_the_model_changes_nothing_on_any_engine(
    shallow: MAE, photos: list[Path], tmp_path: Path, engine: str
) -> None:
    here(engine)
    trained = shallow
    fast = optimised(trained, tmp_path, engine=engine, tasks=("features", "reconstruct"))
    other_size = torch.randn(2, 3, 64, 128)
    mask = maezoo.random_mask(len(photos), shallow.grid_size, 0.5, seed=1)  # no engine was prepared for encoding

    def answers(each: MAE) -> list[torch.Tensor]:
        maps = each.feature_maps(photos)[0]
        tokens = each.encode(photos, mask=mask)
        return [each.features(photos), each.features(other_size), tokens, each.reconstruct(photos).predicted, maps]

    before = answers(fast)
    with torch.no_grad():  # as an optimiser does, on every tensor
        for tensor in (*trained.parameters(), *trained.buffers()):
            tensor.add_(0.1)
    for found, expected in zip(answers(fast), before, strict=True):
        assert torch.equal(found, expected)
    for found, expected in zip(answers(trained), before, strict=True):
        assert not torch.allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("engine", ["onednn", "onnxruntime", "openvino"])
@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))], ids=["deepcopy", "pickle"]
)
def test_a_copy_is_prepared_for_the_machine_that_it_comes_to(
    shallow: MAE, photos: list[Path], tmp_path: Path, engine: str, again: Any
) -> None:
    here(engine)
    fast = optimised(shallow, tmp_path, engine=engine, batch_sizes=(2,))
    copied = again(fast)
    assert copied.plan.remembered
    assert (copied.name, copied.license, copied.entry) == (fast.name, fast.license, fast.entry)
    close(copied.features(photos), fast.features(photos))
    with pytest.raises(RuntimeError, match="frozen"):
        copied.load_state_dict(shallow.state_dict())


def test_a_model_pickles_and_copies(model: MAE, photos: list[Path]) -> None:
    for copied in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert torch.equal(copied.features(photos), model.features(photos))
        assert (copied.name, copied.license, copied.entry) == (model.name, model.license, model.entry)


@pytest.mark.parametrize("engine", [name for name in EXACT if name != "eager"])
def test_threads_share_an_optimised_model(shallow: MAE, tmp_path: Path, engine: str) -> None:
    here(engine)
    fast = optimised(shallow, tmp_path, engine=engine, batch_sizes=(1, 2))
    batches = [torch.randn(1 + number % 3, 3, 96, 96) for number in range(6)]
    expected = [shallow.features(each) for each in batches]

    def work(start: int) -> list[torch.Tensor]:
        return [fast.features(batches[(start + turn) % 6]) for turn in range(12)]

    with ThreadPoolExecutor(6) as pool:
        for start, found in enumerate(pool.map(work, range(6))):
            for turn, each in enumerate(found):
                close(each, expected[(start + turn) % 6])


@pytest.mark.parametrize("engine", ["eager", "onednn", "openvino"])
def test_bfloat16_points_the_same_way(model: MAE, photos: list[Path], tmp_path: Path, engine: str) -> None:
    here(engine, "bfloat16")
    fast = optimised(model, tmp_path, engine=engine, precision="bfloat16")
    cosine = torch.cosine_similarity(fast.features(photos), model.features(photos))
    assert cosine.min() >= 0.999


@pytest.mark.parametrize("engine", ["eager", "onednn", "openvino"])
def test_a_bfloat16_model_keeps_its_format(shallow: MAE, photos: list[Path], tmp_path: Path, engine: str) -> None:
    here(engine, "bfloat16")
    model = shallow.to(torch.bfloat16)
    fast = optimised(model, tmp_path, engine=engine, tasks=("features", "reconstruct"))
    assert fast.plan.precision == "bfloat16"
    for batch in (photos[:1], photos[:3]):  # one image alone may have a program of its own
        found, expected = fast.features(batch), model.features(batch)
        assert found.dtype == torch.bfloat16
        assert torch.cosine_similarity(found.float(), expected.float()).min() >= 0.999
        found, expected = (each.reconstruct(batch, seed=0).predicted for each in (fast, model))
        assert torch.cosine_similarity(found.flatten(1), expected.flatten(1)).min() >= 0.999


def test_int8_is_near_and_said_to_be_another_thing(model: MAE, photos: list[Path], tmp_path: Path) -> None:
    here("onnxruntime")
    fast = optimised(model, tmp_path, precision="int8")
    for images in (photos, photos[:1]):  # one image alone has a session of its own
        cosine = torch.cosine_similarity(fast.features(images), model.features(images))
        assert 0.99 <= cosine.min() < 0.999999
    assert "int8" in str(fast.plan)
    found, exact = (each.features(photos, pool="mean") for each in (fast, model))
    spread = exact - exact.mean(dim=0)  # what all photographs share makes any cosine look good
    bound = 0.03 if int8_saturates() else 0.02  # 0.04 with the first block's MLP in int8, or with sums that saturate
    assert (found - exact).norm() < bound * spread.norm()


@pytest.mark.skipif(ENGINES["onednn"].computes("bfloat16"), reason="this processor has bfloat16")
def test_a_precision_that_the_processor_lacks_is_refused_before_anything_is_tried(model: MAE, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="onednn does not compute in bfloat16 on this processor; engine='auto'"):
        optimised(model, tmp_path, engine="onednn", precision="bfloat16")
    assert "onednn" not in str(optimised(model, tmp_path, engine="pytorch", precision="bfloat16").plan)


def test_other_channels(tmp_path: Path) -> None:
    model = maezoo.create("mae_vit_tiny", in_chans=5, device="cpu")
    images = torch.randn(3, 5, 96, 96)
    close(optimised(model, tmp_path, engine="pytorch").features(images), model.features(images))


@pytest.mark.parametrize("engine", ["onednn", "onnxruntime", "openvino"])
def test_single_images_alone(shallow: MAE, photos: list[Path], tmp_path: Path, engine: str) -> None:
    here(engine)
    fast = optimised(shallow, tmp_path, engine=engine, batch_sizes=(1,))
    close(fast.features(photos[0]), shallow.features(photos[0]))
    close(fast.features(photos), shallow.features(photos))


def test_a_choice_is_remembered_and_a_damaged_memory_is_measured_anew(model: MAE, tmp_path: Path) -> None:
    first = optimised(model, tmp_path, engine="pytorch")
    again = optimised(model, tmp_path, engine="pytorch")
    assert not first.plan.remembered
    assert again.plan.remembered
    assert again.plan.tasks == first.plan.tasks
    (file,) = (tmp_path / "engines").iterdir()
    assert json.loads(file.read_text())["key"]["task"] == "features"
    file.write_text("{")
    assert not optimised(model, tmp_path, engine="pytorch").plan.remembered


def test_a_choice_that_cannot_be_kept_is_told_of_once_with_the_way_out(
    model: MAE, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()  # no folder can be made below it, whoever asks
    model.optimize(engine="eager", tasks=("features", "encode"), batch_sizes=(1,), cache_dir=tmp_path / "file")
    (record,) = caplog.records
    assert str(tmp_path / "file" / "engines") in record.getMessage()
    assert "cache_dir=" in record.getMessage()
    caplog.clear()
    for _ in range(2):
        kept = model.optimize(engine="eager", batch_sizes=(1,), cache_dir=tmp_path / "folder")
    assert kept.plan.remembered
    assert not caplog.records


def test_other_weights_are_measured_anew(model: MAE, tmp_path: Path) -> None:
    optimised(model, tmp_path, engine="pytorch")
    other = maezoo.create("mae_vit_tiny", device="cpu")
    assert not optimised(other, tmp_path, engine="pytorch").plan.remembered


def test_a_missing_extra_says_how_to_install_it(model: MAE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, "onnxruntime", replace(ENGINES["onnxruntime"], is_available=lambda: False))
    for arguments in ({"engine": "onnxruntime"}, {"precision": "int8"}):
        with pytest.raises(MissingExtraError, match=r"pip install 'maezoo\[export\]'"):
            optimised(model, tmp_path, **arguments)


@pytest.mark.parametrize("name", ["onnxruntime", "one of another version"])
def test_a_remembered_engine_that_is_gone_is_measured_anew(
    model: MAE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    optimised(model, tmp_path, engine="pytorch")
    (file,) = (tmp_path / "engines").iterdir()
    record = json.loads(file.read_text())
    for route in record["plan"]["routes"]:
        route["engine"] = name
    file.write_text(json.dumps(record))
    monkeypatch.setitem(ENGINES, "onnxruntime", replace(ENGINES["onnxruntime"], is_available=lambda: False))
    fast = optimised(model, tmp_path, engine="pytorch")
    assert not fast.plan.remembered
    assert {route.engine for route in fast.plan.tasks["features"].routes} <= {"eager", "onednn"}


def test_an_engine_that_fails_when_it_is_timed_costs_only_itself(
    model: MAE, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = ENGINES["eager"].prepare

    def narrow(*arguments: Any) -> Any:
        run = prepare(*arguments)

        def limited(*inputs: torch.Tensor) -> torch.Tensor:
            if len(inputs[0]) > 2:  # the check is on two images
                raise MemoryError("no room")
            return run(*inputs)

        return limited

    monkeypatch.setitem(ENGINES, "onednn", replace(ENGINES["eager"], name="onednn", prepare=narrow))
    fast = optimised(model, tmp_path, engine="pytorch")
    notes = {(trial.engine, trial.batch): trial.note for trial in fast.plan.tasks["features"].trials}
    assert notes["onednn", 4] == "failed: MemoryError: no room"
    close(fast.features(photos), model.features(photos))
    with pytest.raises(EngineError, match="onednn: failed: MemoryError: no room"):
        optimised(model, tmp_path, engine="onednn", batch_sizes=(4,))


def test_frozen(model: MAE, tmp_path: Path) -> None:
    fast = optimised(model, tmp_path, engine="eager")
    assert fast.eval() is fast
    with pytest.raises(RuntimeError, match="frozen; train the model that it was made from"):
        fast.train()
    with pytest.raises(ValueError, match="optimised already"):
        fast.optimize()
    with pytest.raises(RuntimeError, match="optimised for cpu and float32"):
        fast.to(torch.bfloat16)
    assert model.dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"engine": "tensorrt"}, "engine is 'auto', 'pytorch', 'eager', 'onednn'"),
        ({"engine": "onednn", "precision": "int8"}, "onednn runs in float32, bfloat16 on cpu; got int8 on cpu"),
        ({"precision": "int4"}, "precision is one of None"),
        ({"tasks": ["classify"]}, "tasks is one of 'features', 'encode', 'reconstruct'; got 'classify'"),
        ({"tasks": []}, "tasks is a list of names among"),
        ({"batch_sizes": (0,)}, "a batch size is a whole number, from 1 to 65,536; got 0"),
        ({"batch_sizes": ()}, "batch_sizes is a list of numbers of images"),
    ],
)
def test_wrong_arguments_say_what_is_allowed(
    model: MAE, tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        optimised(model, tmp_path, **arguments)


def test_reconstruct_needs_a_decoder(tmp_path: Path) -> None:
    encoder = maezoo.create("mae_vit_tiny", decoder=False, device="cpu")
    with pytest.raises(DecoderMissingError):
        optimised(encoder, tmp_path, engine="eager", tasks=["reconstruct"])


def test_a_few_images_do_not_pay_for_a_choice_and_many_do(model: MAE) -> None:
    assert optimize_for(model, "features", 10, batch_size=4) is model
    fast = optimize_for(model, "features", 1000, batch_size=4)
    assert isinstance(fast, OptimizedMAE)


@pytest.mark.slow
def test_inductor(model: MAE, photos: list[Path], tmp_path: Path) -> None:
    here("inductor")
    fast = optimised(model, tmp_path, engine="inductor", batch_sizes=(2,))
    close(fast.features(photos, batch_size=2), model.features(photos))


@pytest.mark.gpu
def test_cuda(photos: list[Path], tmp_path: Path) -> None:
    model = maezoo.create("mae_vit_tiny", pretrained=True, device="cuda")
    fast = optimised(model, tmp_path, engine="auto", tasks=TASKS)
    torch.testing.assert_close(fast.features(photos), model.features(photos), rtol=1e-3, atol=1e-3)


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="a signal of Unix")
def test_signals_find_their_handler_after_openvino_has_come_and_gone(model: MAE) -> None:
    here("openvino")
    program = """
import gc, signal, maezoo
model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
model.encoder.blocks = model.encoder.blocks[:1]
signal.signal(signal.SIGUSR1, lambda number, frame: print("handled", flush=True))
kept = [model.optimize(engine="openvino", batch_sizes=(2,)) for _ in range(3)]
while kept:
    kept.pop(0)
    gc.collect()
    signal.raise_signal(signal.SIGUSR1)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("handled") == 3
