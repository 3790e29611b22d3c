"""Real processes: killed without warning, interrupted, and two at once."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

import maezoo
from maezoo import cli

COMMAND = "from maezoo.cli import main; main()"
OPTIONS = ["--shard-size", "12", "--batch-size", "3", "--device", "cpu", "--labels"]
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")


def _start(*arguments: object, **settings: bool) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", COMMAND, "extract", *map(str, arguments), *OPTIONS]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **settings
    )


def _finish(source: Path, output: Path) -> None:
    """Go on in this process, with the same threads: their number may move the last bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        done = maezoo.extract(source, output, shard_size=12, batch_size=3, device="cpu", labels=True, workers=0)
    finally:
        torch.set_num_threads(threads)
    assert done.complete


def _wait_for(process: subprocess.Popen[str], condition) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def _parts(output: Path) -> int:
    return len(list(output.glob("part-*.parquet")))


def _kill_in_turn(source: Path, output: Path, seed: int) -> int:
    """Kill a run twice, without and with a worker, each time when it has added a little; return how often it was."""
    chance = random.Random(seed)
    done = 0
    for workers in (0, 1):
        process = _start(source, output, "--workers", workers)
        wanted = _parts(output) + chance.randint(0, 1)
        while process.poll() is None and (
            not (output / "__maezoo__" / "extract.json").exists() or _parts(output) < wanted
        ):
            time.sleep(0.005)
        time.sleep(chance.random() * 0.5)
        if process.poll() is None:
            process.kill()
            done += 1
        process.communicate()
    return done


def _compare_with_whole(source: Path, output: Path, whole: Path, rows, failures) -> None:
    _finish(source, output)
    _finish(source, whole)
    assert rows(output).equals(rows(whole))
    assert failures(output) == failures(whole)
    assert len(rows(output)) == 120
    left = [path.name for path in output.rglob("*") if path.name.startswith((".", "begun-"))]
    assert left == []
    assert all(pq.read_metadata(path).num_rows <= 12 for path in output.glob("part-*"))


def test_a_run_that_is_killed_twice_equals_a_whole_one(damaged, tmp_path, rows, failures):
    assert _kill_in_turn(damaged, tmp_path / "out", seed=0) > 0
    _compare_with_whole(damaged, tmp_path / "out", tmp_path / "whole", rows, failures)


@pytest.mark.slow
def test_a_run_that_is_killed_twenty_times_equals_a_whole_one(damaged, tmp_path, rows, failures):
    kills = 0
    for attempt in range(10):  # of two kills each, so that no attempt is through before it is killed
        output = tmp_path / f"out{attempt}"
        kills += _kill_in_turn(damaged, output, seed=attempt)
        _compare_with_whole(damaged, output, tmp_path / "whole", rows, failures)
    assert kills >= 18


@posix
def test_ctrl_c_ends_after_the_batch_and_says_how_to_go_on(folder, tmp_path, rows):
    output = tmp_path / "out"
    process = _start(folder, output, "--workers", 1)
    _wait_for(process, lambda: _parts(output) >= 1)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 130, printed + errors
    assert f"maezoo extract {folder} {output} --workers 1 --shard-size 12" in errors
    assert "Traceback" not in errors
    assert 12 <= len(rows(output)) < 120
    _finish(folder, output)
    assert len(rows(output)) == 120


@posix
def test_ctrl_c_while_workers_start_ends_at_once_and_says_how_to_go_on(folder, tmp_path):
    """The terminal sends it to all processes: those that still import must say nothing of it."""
    process = _start(folder, tmp_path / "out", "--workers", 2, start_new_session=True)
    _wait_for(process, lambda: len(_children(process.pid)) > 1)  # one is Python's own
    os.killpg(process.pid, signal.SIGINT)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 130, printed + errors
    assert f"maezoo extract {folder}" in errors
    assert "Traceback" not in errors


@posix
def test_ctrl_c_while_images_are_listed_says_how_to_go_on(folder, tmp_path):
    process = _start(folder, tmp_path / "out", "--contents")
    _wait_for(process, lambda: (tmp_path / "out" / "__maezoo__" / "lock").exists())
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 130, printed + errors
    assert f"maezoo extract {folder}" in errors
    assert "Traceback" not in errors


def test_a_second_run_at_once_is_refused_and_a_kill_frees_the_output(folder, tmp_path, rows):
    output = tmp_path / "out"
    first = _start(folder, output, "--workers", 1)
    _wait_for(first, lambda: (output / "__maezoo__" / "extract.json").exists())
    second = _start(folder, output)
    _, errors = second.communicate(timeout=120)
    if first.poll() is None:  # on a slow machine the first may be through by then, and the second had nothing to do
        assert second.returncode == 1
        assert f"another run is writing to {output} (process {first.pid})" in errors
    first.kill()
    first.communicate()
    _finish(folder, output)
    assert len(rows(output)) == 120


@posix
def test_workers_do_not_outlive_a_killed_parent(folder, tmp_path):
    first = _start(folder, tmp_path / "out", "--workers", 2)
    _wait_for(first, lambda: _parts(tmp_path / "out") >= 1)
    children = _children(first.pid)
    first.kill()
    first.communicate()
    deadline = time.monotonic() + 20
    while any(_alive(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_alive(child) for child in children)


def _children(parent: int) -> list[int]:
    listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return [int(pid) for pid, ppid in map(str.split, listing.splitlines()) if int(ppid) == parent]


def _alive(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and "Z" not in state


def test_a_script_without_a_main_guard_is_told_so(folder, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        f"import maezoo\nmaezoo.extract({str(folder)!r}, {str(tmp_path / 'out')!r}, workers=1, device='cpu')\n",
        encoding="utf-8",
    )
    answer = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=120)
    assert answer.returncode != 0
    assert "if __name__ == '__main__':" in answer.stderr


@pytest.fixture
def main(monkeypatch, capsys):
    """The command line in this process: gives the exit code and what was told on standard error."""

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["maezoo", *map(str, arguments)])
        before = signal.getsignal(signal.SIGTERM)
        try:
            with pytest.raises(SystemExit) as left:
                cli.main()
        finally:
            signal.signal(signal.SIGTERM, before)
        return int(left.value.code), capsys.readouterr().err

    return run


@posix
def test_sigterm_ends_as_ctrl_c_does_and_a_second_run_is_told_to_wait(folder, tmp_path, rows, main):
    output = tmp_path / "out"
    process = _start(folder, output, "--workers", 1, "--log-json")
    _wait_for(process, lambda: _parts(output) >= 1)
    process.send_signal(signal.SIGSTOP)
    assert main("extract", folder, output, *OPTIONS)[0] == 75
    process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    lines = [json.loads(line) for line in errors.splitlines()]
    assert (lines[-1]["event"], lines[-1]["status"], lines[-1]["exit_code"]) == ("end", "stopped", 143)
    assert lines[-1]["command"].startswith(f"maezoo extract {folder}")
    assert 12 <= len(rows(output)) < 120


def test_exit_codes_are_those_of_the_page(damaged, tmp_path, main):
    output, options = tmp_path / "out", ["--device", "cpu", "--workers", 0]
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.jpg").write_text("no image")
    assert main("extract", damaged, output, *options, "--max-errors", "1%")[0] == 65
    assert main("extract", tmp_path / "nothing", output, *options)[0] == 66
    assert main("extract", tmp_path / "empty", tmp_path / "new", *options)[0] == 66
    assert main("extract", damaged, output, *options, "--normalize")[0] == 78
    code, told = main("extract", tmp_path / "broken", tmp_path / "none", *options)
    assert (code, told.splitlines()[-1]) == (1, "No row was written: every image failed.")
    assert "1 error\n" in told


def test_a_json_log_is_objects_alone(damaged, tmp_path, main):
    options = ["--device", "cpu", "--workers", 0, "--log-json"]
    code, told = main("extract", damaged, tmp_path / "out", *options)
    lines = [json.loads(line) for line in told.splitlines()]
    assert code == 0
    assert [line["event"] for line in lines] == ["progress", "progress", "end"] or len(lines) > 3
    assert lines[-2]["done"] == lines[-2]["total"] == 125
    assert lines[-1] | {"status": "complete", "exit_code": 0, "rows": 120, "errors": 5} == lines[-1]
    assert all(datetime.fromisoformat(line["time"]).tzinfo for line in lines)
    code, told = main("extract", damaged, tmp_path / "out", *options, "--pool", "mean")
    (line,) = map(json.loads, told.splitlines())
    assert (code, line["exit_code"], line["error"]) == (78, 78, "OtherSettingsError")
