"""TensorBoard, Trackio and Weights & Biases, by their own libraries, offline: each point once, also after a stop."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent.parent
PROGRAM = """
import signal, sys
from pathlib import Path
from maezoo.training import Watch
from tests.training.watching.conftest import train

out, sink, stop_at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

def stop(progress):
    if progress.step == stop_at:
        signal.raise_signal(signal.SIGINT)

try:
    train(out, report=stop, watch=Watch((sink,), pictures=5))
except KeyboardInterrupt:
    print("stopped")
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[[str], str]:
    """Train with a sink in processes of their own, as their settings are read when they are imported."""
    settings = {"TRACKIO_DIR": str(tmp_path / "trackio"), "WANDB_MODE": "offline", "HF_HUB_OFFLINE": "1"}

    def start(sink: str) -> str:
        output = ""
        for stop_at in (4, 0):
            command = [sys.executable, "-c", PROGRAM, str(tmp_path / "run"), sink, str(stop_at)]
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, **settings}
            )
            assert done.returncode == 0, done.stderr
            output += done.stdout
        return output

    return start


def test_tensorboard_reads_back_what_was_written(run: Callable[[str], str], tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

    run("tensorboard")
    events = EventMultiplexer().AddRun(str(tmp_path / "run" / "tensorboard"), "run")
    events.Reload()
    assert [point.step for point in events.Scalars("run", "train/loss")] == list(range(1, 11))
    assert {"train/lr", "train/gradient_norm", "train/views_per_second"} <= set(events.Runs()["run"]["scalars"])
    assert sorted({image.step for image in events.Images("run", "reconstructions")}) == [0, 5, 10]


def test_trackio_has_one_run_with_each_step_once(run: Callable[[str], str], tmp_path: Path) -> None:
    assert run("trackio") == "stopped\n"  # standard output is for results
    with sqlite3.connect(tmp_path / "trackio" / "maezoo.db") as database:
        query = "SELECT run_name, step FROM metrics WHERE CAST(metrics AS TEXT) LIKE '%train/loss%'"
        rows = database.execute(query).fetchall()
    assert sorted(step for _, step in rows) == list(range(1, 11))
    assert len({name for name, _ in rows}) == 1
    assert list((tmp_path / "trackio").rglob("*.png"))


def test_wandb_writes_offline_files_of_one_run(run: Callable[[str], str], tmp_path: Path) -> None:
    run("wandb")
    files = sorted((tmp_path / "run" / "wandb").rglob("*.wandb"))
    assert len(files) == 2
    assert len({path.stem for path in files}) == 1  # run-ID, once for each part
    assert all(path.stat().st_size > 1000 for path in files)
