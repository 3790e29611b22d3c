"""A run that is watched: the same bits, and what is found in its folder."""

import importlib
import json
import random
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maezoo.errors import ArgumentError, DataError
from maezoo.training import Progress, Watch
from tests.training.watching.conftest import RECIPE, Noise, same, train


def log_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_watching_changes_no_bit_and_draws_from_no_shared_generator(
    ema: float, sets: tuple[Path, Path], tmp_path: Path
) -> None:
    recipe = replace(RECIPE, ema=ema)
    alone = train(tmp_path / "alone", recipe)
    importlib.import_module("sklearn.linear_model")  # which draws when it is first imported
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # type: ignore[index]
    watch = Watch(("tensorboard",), pictures=3, probe=sets, probe_every=4)
    watched = train(tmp_path / "watched", recipe, watch=watch)
    assert same(alone, watched)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[:2]  # type: ignore[index]
    assert torch.equal(torch.get_rng_state(), before[2])
    checkpoints = [(tmp_path / name / "checkpoint.safetensors").read_bytes() for name in ("alone", "watched")]
    assert checkpoints[0] == checkpoints[1]


def test_probes_and_pictures_come_at_their_steps_first_and_last_included(
    sets: tuple[Path, Path], tmp_path: Path
) -> None:
    train(tmp_path, watch=Watch(pictures=4, probe=sets, probe_every=4))
    probes = [record for record in log_of(tmp_path) if "probe_knn" in record]
    assert [record["step"] for record in probes] == [0, 4, 8, 10]
    assert all(0.5 <= record["probe_linear"] <= 1 and record["probe_images"] == 12 for record in probes)
    assert probes[0]["probe_loss"] > probes[-1]["probe_loss"] > 0
    pictures = sorted((tmp_path / "pictures").iterdir())
    assert [path.stem for path in pictures] == ["step-00000000", "step-00000004", "step-00000008", "step-00000010"]
    shown = [np.asarray(Image.open(path)) for path in pictures]
    first = np.s_[40:140, 20:140]  # of the first original
    assert np.ptp(shown[0][first]) > 0
    assert np.array_equal(shown[0][first], shown[3][first])  # the same images
    assert not np.array_equal(shown[0], shown[3])


def test_the_log_has_what_tells_how_a_run_goes(tmp_path: Path) -> None:
    train(tmp_path)
    records = log_of(tmp_path)
    assert [record["step"] for record in records] == list(range(1, 11))
    assert all(record["gradient_norm"] > 0 and record["views_per_second"] > 0 for record in records)
    assert all(record["memory_bytes"] is None or record["memory_bytes"] > 2**20 for record in records)
    seconds = [record["seconds"] for record in records]
    assert seconds == sorted(seconds)
    assert json.loads((tmp_path / "run.json").read_text())["state"] == "finished"


def test_what_a_killed_run_does_again_is_in_the_log_once(sets: tuple[Path, Path], tmp_path: Path) -> None:
    """The log is ahead of the checkpoint, and its last line is cut."""
    watch = Watch(pictures=2, probe=sets, probe_every=2)
    whole = train(tmp_path / "whole", watch=watch)

    def stop(progress: Progress) -> None:
        if progress.step == 5:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", report=stop, watch=watch)
    assert json.loads((tmp_path / "parts" / "run.json").read_text())["state"] == "stopped"
    ahead = (tmp_path / "whole" / "log.jsonl").read_bytes().splitlines()
    with (tmp_path / "parts" / "log.jsonl").open("ab") as file:
        file.write(b"\n".join(line for line in ahead if json.loads(line)["step"] in (6, 7)) + b'\n{"step": 8, "lo')
    assert same(whole, train(tmp_path / "parts", watch=watch))
    one, other = (
        [(r["step"], r.get("loss"), r.get("probe_loss")) for r in log_of(tmp_path / n)] for n in ("whole", "parts")
    )
    assert one == other


def test_what_cannot_be_watched_is_refused_before_the_first_step(sets: tuple[Path, Path], tmp_path: Path) -> None:
    wrong = [
        (Watch(("tensorbord",)), ArgumentError, "tensorboard"),  # type: ignore[arg-type]
        (Watch(probe=(sets[0], sets[0])), ArgumentError, "both are"),
        (Watch(probe=(sets[0], tmp_path / "nowhere")), DataError, "nowhere"),
        (Watch(probe=(sets[0] / "red", sets[1])), DataError, "no"),
    ]
    for watch, kind, message in wrong:
        with pytest.raises(kind, match=message):
            train(tmp_path / "out", source=Noise(0, lambda images: pytest.fail("trained")), watch=watch)
    with pytest.raises(ArgumentError, match="pictures"):
        Watch(pictures=-1)
    with pytest.raises(ArgumentError, match="probe_every"):
        Watch(probe_every=0)
