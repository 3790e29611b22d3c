"""Processes that decode for fine-tuning: signals to all processes of a run, and the loss of one."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from maezoo.errors import WorkerError
from maezoo.training import finetune

Folder = Callable[..., Path]
posix = pytest.mark.skipif(os.name != "posix", reason="sends signals to a group of processes")


def workers_of(pid: int) -> list[psutil.Process]:
    """The processes that decode; one more is Python's own."""
    return [each for each in psutil.Process(pid).children() if "spawn_main" in " ".join(each.cmdline())]


@posix
@pytest.mark.parametrize(
    ("number", "code", "ready"),
    [(signal.SIGTERM, 143, "steps"), (signal.SIGINT, 130, "workers start")],
)
def test_a_signal_to_all_processes_keeps_what_is_done(
    number: int, code: int, ready: str, coloured: Folder, small: str, tmp_path: Path
) -> None:
    options = ["--epochs", "500", "--batch-size", "4", "--precision", "float32", "--workers", "1", "--device", "cpu"]
    out = tmp_path / "run"
    running = subprocess.Popen(
        [sys.executable, "-m", "maezoo", "finetune", str(coloured()), "-o", str(out), "--model", small, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while running.poll() is None:
        if (out / "log.jsonl").exists() or (ready != "steps" and workers_of(running.pid)):
            break
        time.sleep(0.02)
    os.killpg(running.pid, number)
    _, told = running.communicate()
    assert running.returncode == code, told
    assert "Stopped. A checkpoint is kept" in told
    assert (out / "checkpoint.safetensors").exists()


@posix
def test_a_worker_that_is_killed_is_named(coloured: Folder, small: str, tmp_path: Path) -> None:
    def kill(progress: object) -> None:
        for each in workers_of(os.getpid()):
            each.kill()

    settings = {"epochs": 50, "batch_size": 4, "precision": "float32"}
    with pytest.raises(WorkerError, match=r"before its time.*workers=0"):
        finetune(coloured(), tmp_path, model=small, device="cpu", workers=1, report=kill, report_every=1, **settings)
