"""Kills: work that is ended by SIGKILL at random moments, done again, and compared with an undisturbed run's.

The work runs in forked children of a process that has imported everything, so that each kill falls into the work and
not into Python's start.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.reliability.subjects import SUBJECTS, Subject

__all__ = ["measure_kills"]


def measure_kills(names: Sequence[str], kills: int, seed: int) -> int:
    """Kill each subject so many times; return 1 if a result was not that of an undisturbed run."""
    if len(names) > 1:  # each in a process of its own: they set its environment
        command = [sys.executable, "-m", "benchmarks.reliability", "kills", "--kills", str(kills), "--seed", str(seed)]
        return max([subprocess.run([*command, "--only", name], check=False).returncode for name in names])
    with tempfile.TemporaryDirectory(prefix="maezoo-kills-") as folder:
        return _measure(names[0], SUBJECTS[names[0]], kills, seed, Path(folder))


def _measure(name: str, subject: Subject, kills: int, seed: int, folder: Path) -> int:
    prepared, draw = folder / "prepared", random.Random(seed)
    prepared.mkdir()
    subject.prepare(prepared)
    _import_all()
    seconds = min(_timed(subject, prepared, folder / "whole"), _timed(subject, prepared, folder / "again"))
    expected, killed, runs = subject.contents(folder / "whole"), 0, 0
    wrong = _differences(expected, subject.contents(folder / "again"))
    while killed < kills:
        runs += 1
        out = folder / f"run{runs}"
        ended = True
        while ended:
            ended = _run(subject, prepared, out, draw.uniform(0, seconds) if killed < kills else None)
            killed += ended
            try:
                if out.exists():
                    subject.whole(out)
            except ValueError as error:
                wrong.append(f"after kill {killed}: {error}")
        wrong += _differences(expected, subject.contents(out))
        shutil.rmtree(out)
    print(
        f"{name}: {killed} kills in {runs} runs (one takes {seconds:.2f} s undisturbed): "
        + ("; ".join(sorted(set(wrong))[:8]) if wrong else "each result equals the undisturbed one, and no half file"),
        flush=True,
    )
    return int(bool(wrong))


def _timed(subject: Subject, prepared: Path, out: Path) -> float:
    """Do the work undisturbed; return the seconds that it took."""
    started = time.monotonic()
    _run(subject, prepared, out, None)
    return time.monotonic() - started


def _run(subject: Subject, prepared: Path, out: Path, kill_after: float | None) -> bool:
    """Do the work in a child, and kill it after some seconds; return whether it was killed before its end."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with Path(os.devnull).open("w") as nowhere:
                os.dup2(nowhere.fileno(), 1)
            subject.work(prepared, out)
            code = 0
        except BaseException:
            traceback.print_exc()
        os._exit(code)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    if os.WEXITSTATUS(status):
        raise RuntimeError("the work failed by itself")
    return False


def _import_all() -> None:
    """Import what the work needs, before it is forked."""
    import huggingface_hub.file_download
    import pyarrow.parquet  # noqa: F401

    import maezoo.extraction.run
    import maezoo.hub.fetching
    import maezoo.training.finetuning.finetuner
    import maezoo.training.trainer  # noqa: F401

    assert huggingface_hub.file_download


def _differences(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Name the files of a result that are missing, that are too many, or that differ."""
    names = sorted({*expected, *found})
    return [
        f"{name} {'is missing' if name not in found else 'is left over' if name not in expected else 'differs'}"
        for name in names
        if expected.get(name) != found.get(name)
    ]
