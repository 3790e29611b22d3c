"""Kills of one process of several that share a pretraining run, which torchrun starts, and the same command again."""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
from safetensors.torch import load_file

from benchmarks.reliability.subjects import prepare_training

__all__ = ["measure_ranks"]

_SIZE = 2  # processes
_STEPS = 80
_EARLY = 0.2  # share of the kills that may come before the first step
_WHOLE = ("model.safetensors", "decoder/model.safetensors", "config.json")
_TIMES = ("views_per_second", "seconds", "memory_bytes")
_CUT = "ended before its time"


def measure_ranks(ways: Sequence[str], kills: int, restarts: int, seed: int) -> int:
    """Kill a random process of each way so many times; return 1 if a result was not that of an undisturbed run.

    Args:
        ways: `"ddp"`, `"fsdp"`.
        kills: of each.
        restarts: that torchrun may do by itself each time; when there are no more, the command is repeated.
        seed: of which process is killed, and when.
    """
    with tempfile.TemporaryDirectory(prefix="maezoo-ranks-") as name:
        folder = Path(name)
        prepare_training(folder)
        return max([_measure(way, kills, restarts, seed, folder) for way in ways])


def _measure(way: str, kills: int, restarts: int, seed: int, folder: Path) -> int:
    draw, whole, out = random.Random(seed), folder / f"{way}-whole", folder / way
    began = time.monotonic()
    undisturbed = _start(way, folder, whole, 0)
    _wait_for_steps(undisturbed, whole, began)
    startup, began = time.monotonic() - began, time.monotonic()
    _end(undisturbed)
    seconds = time.monotonic() - began
    expected, wrong, killed, runs = _result(whole), list[str](), 0, 1
    told = dict.fromkeys(("writing", "message", "started"), 0)
    longest, finished = 0.0, False
    while killed < kills or not finished:
        began = time.monotonic()
        running, left = _start(way, folder, out, restarts), restarts + 1
        told["started"] += 1
        while left and killed < kills and running.poll() is None:
            if draw.random() < _EARLY:
                time.sleep(draw.uniform(0, startup))
            else:
                _wait_for_steps(running, out, began)
                time.sleep(draw.uniform(0, 2 * seconds / (kills + 1)))
            workers = _workers(running)
            if len(workers) < _SIZE:
                continue
            draw.choice(workers).kill()
            ended = began = time.monotonic()
            killed, left = killed + 1, left - 1
            told["writing"] += any(out.glob(".checkpoint*"))
            psutil.wait_procs(workers, timeout=60)
            longest = max(longest, time.monotonic() - ended)
        message = _end(running)
        told["message"] += message.count(_CUT)
        finished = running.returncode == 0
        if finished:
            wrong += _differences(expected, _result(out))
            if killed < kills:
                runs += 1
                shutil.rmtree(out)
    _say(way, killed, runs, seconds, longest, told, wrong)
    return int(bool(wrong))


def _say(
    way: str, kills: int, runs: int, seconds: float, longest: float, told: dict[str, int], wrong: list[str]
) -> None:
    outcome = "; ".join(sorted(set(wrong))[:8]) or "weights, checkpoint and log equal those of the undisturbed run"
    print(
        f"{way}: {kills} kills in {runs} run(s), {told['started']} times started ({_STEPS} steps take {seconds:.1f} s "
        f"undisturbed), {told['writing']} while a checkpoint was being written; the other process ended after "
        f"{longest:.1f} s at most, {told['message']} messages: {outcome}",
        flush=True,
    )


def _start(way: str, folder: Path, out: Path, restarts: int) -> "subprocess.Popen[str]":
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(_SIZE)]
    launcher += ["--max-restarts", str(restarts), "-m", "benchmarks.reliability.saving_often"]
    command = ["pretrain", str(folder / "pictures"), "-o", str(out), "--init", f"local-dir:{folder / 'small'}"]
    numbers = ["--views", str(8 * _STEPS), "--batch-size", "8", "--optimizer", "adamw", "--precision", "float32"]
    return subprocess.Popen(
        [sys.executable, *launcher, *command, *numbers, "--parallel", way],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _workers(running: "subprocess.Popen[str]") -> list[psutil.Process]:
    try:
        return [each for each in psutil.Process(running.pid).children() if each.status() != psutil.STATUS_ZOMBIE]
    except psutil.NoSuchProcess:
        return []


def _wait_for_steps(running: "subprocess.Popen[str]", out: Path, since: float) -> None:
    """Wait until the run has begun anew, or ended."""
    since += time.time() - time.monotonic()
    while running.poll() is None:
        state = out / "run.json"
        if state.exists() and state.stat().st_mtime > since:
            return
        time.sleep(0.02)


def _end(running: "subprocess.Popen[str]") -> str:
    """Wait for the end; return what it said."""
    _, said = running.communicate(timeout=600)
    if running.returncode and _CUT not in said and "SIGKILL" not in said:
        raise RuntimeError(f"the run failed by itself: {said[-3000:]}")
    return said


def _result(out: Path) -> dict[str, Any]:
    """Return what must be the same: bytes of files, the tensors of shares, and the log but for its times."""
    files = [out / name for name in _WHOLE]
    shares = sorted((out / "checkpoint").glob("*.safetensors"))
    files += [] if shares else [out / "checkpoint.safetensors"]
    found: dict[str, Any] = {str(path.relative_to(out)): path.read_bytes() for path in files}
    for path in shares:  # two undisturbed runs order the header of such a file differently
        found |= {f"{path.name} {name}": value.numpy().tobytes() for name, value in load_file(path).items()}
    log = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return found | {"log.jsonl": [{k: v for k, v in record.items() if k not in _TIMES} for record in log]}


def _differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    names = sorted({*expected, *found})
    return [f"{name} differs" for name in names if expected.get(name) != found.get(name)]
