"""Fine-tuning: runs that learn, stop and are resumed, and what they leave in their folder."""

import json
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file

import maezoo
from maezoo.errors import ArgumentError, CheckpointError, DataError, DiskFullError, DivergedError
from maezoo.training import Classifier, Finetuned, FinetuneRecipe, Progress, Validation, finetune
from maezoo.training.finetuning.model import ClassifierModel, open_encoder

Folder = Callable[..., Path]
STRONG = {"augment": "rand-m9-mstd0.5-inc1", "erase": 0.5, "mixup": 0.8, "cutmix": 1.0, "drop_path": 0.3}


def run(source: Path, out: Path, small: str, **changes: Any) -> Finetuned:
    settings = {"epochs": 3, "batch_size": 4, "device": "cpu", "precision": "float32"}
    return finetune(source, out, model=small, **{**settings, **changes})


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize(
    "changes",
    [STRONG, {"tune": "head", "optimizer": "lars"}, {"lora": 2}, {"tune": "last-block", "ema": 0.9}],
    ids=["all", "probe", "lora", "last block"],
)
def test_a_stopped_run_is_resumed_to_the_same_bits(
    changes: dict[str, Any], coloured: Folder, small: str, tmp_path: Path
) -> None:
    source = coloured()
    run(source, tmp_path / "whole", small, **changes)

    def stop(progress: Progress) -> None:
        random.random(), np.random.rand(), torch.rand(1)  # what the caller draws changes nothing
        if progress.step == 5:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / "parts", small, report=stop, report_every=1, **changes)
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    run(source, tmp_path / "parts", small, **changes)
    assert same(tmp_path / "whole", tmp_path / "parts")


def test_it_learns_and_its_folder_answers_the_same_in_timm_and_maezoo(
    coloured: Folder, small: str, tmp_path: Path
) -> None:
    seen: list[Validation] = []
    done = run(coloured(), tmp_path / "out", small, epochs=8, base_lr=5e-2, validated=seen.append)
    assert done.validation is not None
    assert done.validation == seen[-1]
    assert done.validation.val_accuracy == 1.0
    assert done.validation.val_images == 4
    assert 2 <= len(seen) <= 7
    log = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["val_accuracy"] == 1.0
    model = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()
    assert model.pretrained_cfg["label_names"] == ["blue", "red"]
    loaded = Classifier.load(tmp_path / "out", device="cpu")
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(loaded.probabilities(images), model(images).softmax(dim=1))
    reds = sorted((tmp_path / "pictures" / "red").iterdir())
    assert [guesses[0].label for guesses in loaded.classify(reds)] == ["red"] * len(reds)
    assert loaded.classify(reds) == done.classifier.classify(reds)
    features = maezoo.create(f"local-dir:{tmp_path / 'out'}", device="cpu")
    assert features.features(reds).shape == (len(reds), 48)
    assert features.license == "cc0-1.0"
    again = run(tmp_path / "pictures", tmp_path / "out", small, epochs=8, base_lr=5e-2)  # nothing left to train
    assert again.validation == done.validation


def test_a_fine_tuned_encoder_is_fine_tuned_again(coloured: Folder, small: str, tmp_path: Path) -> None:
    run(coloured(), tmp_path / "first", small, epochs=1)
    again = run(coloured("more", classes=("green", "red")), tmp_path / "second", f"local-dir:{tmp_path / 'first'}")
    assert again.classifier.classes == ("green", "red")


def test_the_callers_generators_are_left_alone(coloured: Folder, small: str, tmp_path: Path) -> None:
    source = coloured()
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # type: ignore[index]
    run(source, tmp_path / "out", small, epochs=1, **STRONG)
    assert before[0] == random.getstate()
    assert before[1] == np.random.get_state()[1].tolist()  # type: ignore[index]
    assert torch.equal(before[2], torch.get_rng_state())


def test_worker_processes_give_the_same_views(coloured: Folder, small: str, tmp_path: Path) -> None:
    source = coloured()
    (source / "red" / "broken.png").write_bytes(b"no picture")
    alone = run(source, tmp_path / "alone", small, epochs=1, **STRONG)
    helped = run(source, tmp_path / "helped", small, epochs=1, workers=1, **STRONG)
    assert same(tmp_path / "alone", tmp_path / "helped")
    assert alone.unreadable.keys() == helped.unreadable.keys() == {"red/broken.png"}


def test_another_run_in_the_folder_is_refused_by_what_differs(coloured: Folder, small: str, tmp_path: Path) -> None:
    source = coloured()
    run(source, tmp_path / "out", small, epochs=1)
    with pytest.raises(CheckpointError, match=r"epochs was 1, now 2"):
        run(source, tmp_path / "out", small, epochs=2)
    with pytest.raises(CheckpointError, match=r"classes: new 'green'[;.].* start again\.$"):
        run(coloured("three", classes=("red", "green", "blue")), tmp_path / "out", small, epochs=1)
    (source / "red" / "000.png").unlink()
    with pytest.raises(CheckpointError, match="images: there were 16, now 15"):
        run(source, tmp_path / "out", small, epochs=1)


def test_weights_of_something_else_are_not_written_over(coloured: Folder, small: str, tmp_path: Path) -> None:
    place = Path(small.removeprefix("local-dir:"))
    before = (place / "model.safetensors").read_bytes()
    with pytest.raises(DataError, match="name another output folder"):
        run(coloured(), place, small)
    assert (place / "model.safetensors").read_bytes() == before
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is a file"):
        run(tmp_path / "pictures", tmp_path / "file", small)


def test_a_diverging_run_ends_with_words_and_leaves_no_model(coloured: Folder, small: str, tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match="lower rate"):
        run(coloured(), tmp_path / "out", small, epochs=5, base_lr=1e12, warmup_epochs=0, report_every=1)
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_what_is_frozen_keeps_its_bits(coloured: Folder, small: str, tmp_path: Path) -> None:
    encoder = open_encoder(small, None).encoder.state_dict()
    run(coloured(), tmp_path / "out", small, tune="last-block", base_lr=1e-2)
    found = weights(tmp_path / "out")
    assert {name for name, value in encoder.items() if name in found and not torch.equal(value, found[name])} == {
        name for name in encoder if name.startswith("blocks.2.")
    }
    assert "norm.weight" not in found  # dropped where a fresh one follows the mean, as in the paper
    for pool in ("cls", "mean"):
        run(tmp_path / "pictures", tmp_path / pool, small, tune="head", pool=pool, epochs=1)
        probed = weights(tmp_path / pool)
        assert all(torch.equal(value, probed[name]) for name, value in encoder.items())  # the trained norm, too


def test_a_probe_is_folded_into_one_layer_that_answers_the_same(small: str) -> None:
    model = ClassifierModel(open_encoder(small, None), 3, FinetuneRecipe(tune="head", pool="cls", batch_size=8))
    images = torch.randn(8, 3, 32, 32)
    with torch.no_grad():
        model.vit.train()(images)  # the statistics
        wanted = model.vit.eval()(images)
        plain = model.finished()
        torch.testing.assert_close(plain(images), wanted)
    assert isinstance(plain.head, torch.nn.Linear)


def test_low_rank_updates_are_merged_into_the_matrices(small: str) -> None:
    model = ClassifierModel(open_encoder(small, None), 3, FinetuneRecipe(lora=2))
    trained = {name for name, p in model.vit.named_parameters() if p.requires_grad}
    assert sum("lora_" in name for name in trained) == 3 * 4 * 2  # blocks, matrices of each, two factors
    assert all("lora_" in name or name.startswith(("head.", "fc_norm.")) for name in trained)
    with torch.no_grad():
        for parameter in model.vit.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.1)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        wanted = model.vit.eval()(images)
        merged = model.finished()
        torch.testing.assert_close(merged(images), wanted, atol=1e-4, rtol=1e-4)
    assert not any("lora" in name for name in merged.state_dict())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"tune": "some"}, "tune='some'"),
        ({"tune": 9}, "3 blocks"),
        ({"epochs": 2.5}, "epochs is a whole number; got 2.5"),
        ({"batch_size": 5, "mixup": 0.8}, "even number"),
        ({"lora": 4, "tune": "head"}, "lora=4"),
        ({"optimiser": "adamw"}, "optimizer"),
        ({"recipe": "long"}, "'paper'"),
        ({"val": 1.5}, "share"),
        ({"img_size": 33}, "33"),
    ],
)
def test_impossible_numbers_are_refused_before_work(
    changes: dict[str, Any], message: str, coloured: Folder, small: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        run(coloured(number=2), tmp_path / "out", small, **changes)
    assert isinstance(caught.value, ArgumentError | maezoo.errors.MaezooError)
    assert not (tmp_path / "out" / "checkpoint.safetensors").exists()


def test_grey_models_take_grey_and_coloured_pictures(coloured: Folder, small: str, tmp_path: Path) -> None:
    grey = maezoo.create(small, in_chans=1, device="cpu")
    grey.save_pretrained(tmp_path / "grey")
    done = run(coloured(), tmp_path / "out", f"local-dir:{tmp_path / 'grey'}", epochs=1)
    assert done.classifier.in_chans == 1
    other = maezoo.create(small, in_chans=5, device="cpu")
    other.save_pretrained(tmp_path / "five")
    with pytest.raises(ArgumentError, match="takes 5 channels"):
        run(tmp_path / "pictures", tmp_path / "out5", f"local-dir:{tmp_path / 'five'}")


def test_a_full_disk_is_told_before_the_first_step(
    coloured: Folder, small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(DiskFullError, match="MB left"):
        run(coloured(), tmp_path / "out", small, report=lambda at: pytest.fail("trained"), report_every=1)


def test_a_second_run_in_the_folder_is_refused_at_once(coloured: Folder, small: str, tmp_path: Path) -> None:
    source = coloured()

    def second(progress: Progress) -> None:
        with pytest.raises(DataError, match="another run is writing"):
            run(source, tmp_path / "out", small)
        raise RuntimeError("seen")

    with pytest.raises(RuntimeError, match="seen"):
        run(source, tmp_path / "out", small, report=second, report_every=1)


def test_pictures_of_more_than_8_bits_are_seen_through_the_window(small: str, tmp_path: Path) -> None:
    """12-bit values in 16-bit files are nearly black without one."""
    for label, low in (("dim", 500), ("bright", 2500)):
        (tmp_path / "grey" / label).mkdir(parents=True)
        for number in range(8):
            values = np.random.default_rng(low + number).integers(low, low + 1000, (40, 40), dtype=np.uint16)
            Image.fromarray(values).save(tmp_path / "grey" / label / f"{number}.png")
    done = run(tmp_path / "grey", tmp_path / "out", small, epochs=12, base_lr=5e-3, window=(0, 4095))
    assert done.validation is not None
    assert done.validation.val_accuracy == 1
    assert Classifier.load(tmp_path / "out", device="cpu").preprocess.window == (0, 4095)
    with pytest.raises(CheckpointError, match="window"):
        run(tmp_path / "grey", tmp_path / "out", small, epochs=12, base_lr=5e-3, window="auto")
