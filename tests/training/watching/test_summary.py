"""What the folder of a run tells, whatever became of the run."""

import json
from pathlib import Path

import pytest

from maezoo.errors import DataError
from maezoo.extraction.store import exclusive
from maezoo.training import summarise_run


def line(step: int, loss: float) -> str:
    facts = {"step": step, "steps": 100, "views": step * 4, "loss": loss, "lr": 1e-3, "views_per_second": 20.0}
    return json.dumps(facts) + "\n"


def test_a_running_run_tells_how_long_it_takes(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(line(10, 0.5) + line(20, 0.3) + line(30, 0.4))
    with exclusive(tmp_path / ".lock", tmp_path):
        run = summarise_run(tmp_path)
    assert (run.state, run.step, run.steps) == ("running", 30, 100)
    assert (run.loss, run.best_loss, run.best_step) == (0.4, 0.3, 20)
    assert run.seconds_left == pytest.approx(70 * 4 / 20)


@pytest.mark.parametrize(
    ("said", "step", "state"),
    [
        (None, 30, "stopped"),
        (None, 100, "finished"),
        ("running", 30, "killed"),
        ("diverged", 30, "diverged"),
        ("stopped", 30, "stopped"),
        (["no", "word"], 30, "stopped"),
    ],
)
def test_how_a_run_ended(said: object, step: int, state: str, tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(line(step, 0.5))
    if said is not None:
        (tmp_path / "run.json").write_text(json.dumps({"state": said}))
    assert summarise_run(tmp_path).state == state


def test_a_damaged_log_costs_its_damaged_lines_alone(tmp_path: Path) -> None:
    noise = b'\xff\xfe\n[1, 2]\n{"step": "x"}\n{"step": -1}\n\n' + b"[" * 5000 + b"\n"
    odd = b'{"step": 20, "loss": null, "lr": "x", "memory_bytes": true}\n'
    (tmp_path / "log.jsonl").write_bytes(line(10, 0.5).encode() + noise + odd + b'{"step": 30, "lo')
    (tmp_path / "run.json").write_text("{")
    run = summarise_run(tmp_path)
    assert (run.step, run.loss, run.lr, run.memory_bytes, len(run.records)) == (20, 0.5, None, None, 2)


def test_scores_have_their_first_latest_and_best(tmp_path: Path) -> None:
    scores = [{"step": s, "probe_knn": k, "probe_loss": v} for s, k, v in ((0, 0.5, 2.0), (5, 0.9, 1.0), (9, 0.7, 1.5))]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(each) + "\n" for each in scores))
    found = summarise_run(tmp_path).scores
    assert found["probe_knn"] == {"first": (0, 0.5), "latest": (9, 0.7), "best": (5, 0.9)}
    assert found["probe_loss"]["best"] == (5, 1.0)


def test_a_checkpoint_of_shares_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    assert summarise_run(tmp_path).checkpoint == str(tmp_path / "checkpoint")


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no run"):
        summarise_run(tmp_path)
    with pytest.raises(DataError, match="not a folder"):
        summarise_run(tmp_path / "nowhere")
