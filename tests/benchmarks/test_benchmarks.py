"""`python -m benchmarks.speed`, through the real command line with the smallest model and budget."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TINY = ["--model", "mae_vit_tiny", "--device", "cpu", "--rounds", "1", "--threads", "1"]


def run(*arguments: str, without: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own; modules in `without` count as not installed there."""
    hide = f"import sys; sys.modules.update(dict.fromkeys({list(without)!r})); sys.argv[1:] = {list(arguments)!r}; "
    code = hide + "import runpy; runpy.run_module('benchmarks.speed', run_name='__main__', alter_sys=True)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str, Path]:
    """Results, printed text and JSON file of one small run, OpenVINO and onnx not being installed."""
    out = tmp_path_factory.mktemp("benchmarks") / "results.json"
    tasks = "features,train,images"
    rest = ["--tasks", tasks, "--batches", "1", "--precisions", "float32", "--out", str(out)]
    peers = ["--peers", "timm,transformers,openvino"]
    done = run(*TINY, *rest, *peers, without=("openvino", "onnx", "onnxscript"))
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text()), done.stdout, out


def rows_of(measured: tuple[dict[str, Any], str, Path], task: str) -> dict[str, dict[str, Any]]:
    return {row["contestant"]: row for row in measured[0]["models"] if row["task"] == task}


def test_json_says_what_was_measured_where_and_how(measured: tuple[dict[str, Any], str, Path]) -> None:
    data, _, out = measured
    assert data["complete"] is True
    assert data["model"] == "mae_vit_tiny"
    assert data["command"].startswith("python -m benchmarks.speed --model mae_vit_tiny")
    assert str(out) in data["command"]
    assert {"kind", "processor", "threads", "versions", "memory_gib", "gpu", "load"} <= data["machine"].keys()
    assert data["machine"]["threads"] == 1
    assert data["machine"]["versions"].keys() >= {"maezoo", "torch", "timm"}
    assert data["ceilings_gflops"]["float32"] > 0
    assert data["date"][:2] == "20"


def test_every_cell_has_maezoo_beside_its_peers(measured: tuple[dict[str, Any], str, Path]) -> None:
    for task in ("features", "train"):
        rows = rows_of(measured, task)
        ours = rows["maezoo"]
        assert ours["status"] == "ok", ours
        assert ours["difference"]
        assert ours["seconds"] > 0
        assert len(ours["samples"]) == 1
        assert ours["of_ceiling"] > 0
        best = max(row["images_per_second"] for row in rows.values() if row["group"] == "peer")
        assert ours["to_peer"] == pytest.approx(ours["images_per_second"] / best)
    assert "timm" in rows_of(measured, "features")
    assert rows_of(measured, "train")["transformers"]["status"] == "ok"


def test_a_peer_that_is_not_installed_is_named_with_its_command(measured: tuple[dict[str, Any], str, Path]) -> None:
    data, text, _ = measured
    row = rows_of(measured, "features")["openvino"]
    assert row["status"] == "skipped"
    assert row["seconds"] is None
    assert "pip install onnx onnxscript openvino" in row["note"]
    assert data["skipped"]["openvino"] == row["note"]
    assert "openvino: skipped: openvino, onnx, onnxscript not installed" in text


def test_the_tables_have_class_ceilings_and_ratios(measured: tuple[dict[str, Any], str, Path]) -> None:
    data, text, _ = measured
    assert text.startswith(f"class {data['machine']['kind']}: ")
    assert "ceilings, GFLOP/s of matrix products: float32 " in text
    assert "features, float32, batch 1" in text
    assert "x peer" in text


def test_images_are_prepared_alike(measured: tuple[dict[str, Any], str, Path]) -> None:
    rows = [row for row in measured[0]["images"] if row["contestant"] == "maezoo"]
    assert [row["image"] for row in rows] == ["500x375", "4000x3000"]
    assert all(row["mean_difference"] <= 0.02 for row in rows)


def test_results_are_drawn(measured: tuple[dict[str, Any], str, Path], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "performance.png"
    done = run("--draw", str(measured[2]), "--picture", str(picture))
    assert done.returncode == 0, done.stderr
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_an_unknown_task_is_refused() -> None:
    done = run("--tasks", "features,dance")
    assert done.returncode == 2
    assert "'dance' is none of features, encode" in done.stderr


def test_one_that_fails_or_differs_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    import torch

    from benchmarks.speed import cells, peers
    from benchmarks.speed.cells import Plan, run_cells
    from benchmarks.speed.subject import Subject
    from benchmarks.speed.timing import Budget

    def broken(*_: object) -> Any:
        raise RuntimeError("no\nsuch engine")

    def wrong(*_: object) -> Any:
        return lambda inputs: torch.ones(len(inputs.images), 192)

    offers = (("features", ("float32",)),)
    found = (
        peers.CONTESTANTS[0],
        peers.Contestant("broken", "peer", broken, offers),  # type: ignore[arg-type]
        peers.Contestant("wrong", "peer", wrong, offers),  # type: ignore[arg-type]
    )
    monkeypatch.setattr(cells, "offering", lambda *_: iter(found))
    subject = Subject("mae_vit_tiny", torch.device("cpu"), lambda _: (1,), tmp_path, lambda _: None)
    plan = Plan(("features",), ("float32",), (1,), None, Budget(rounds=1, turn=0.0))
    (rows,) = list(run_cells(subject, plan, lambda _: None))
    assert [row.status for row in rows] == ["ok", "failed", "differs"]
    assert rows[1].note == "RuntimeError: no such engine"
    assert rows[0].to_peer is None
    assert rows[2].seconds is not None
    assert rows[2].to_peer is None


def test_reading_for_pretraining_is_measured_from_every_kind_of_source(tmp_path: Path) -> None:
    out = tmp_path / "reading.json"
    code = "import sys; from benchmarks.speed.pretraining import main; main()"
    rest = ["--parts", "reading", "--model", "mae_vit_tiny", "--device", "cpu", "--rounds", "1", "--steps", "2"]
    done = subprocess.run(
        [sys.executable, "-c", code, *rest, "--images", "8", "--side", "64", "--workers", "0", "--out", str(out)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    rates = json.loads(out.read_text())["reading"]
    assert [*rates] == [f"maezoo, {kind}" for kind in ("folder", "tar", "parquet", "pack")] + [
        "torchvision + DataLoader, 0"
    ]
    assert all(rate > 0 for found in rates.values() for rate in found)
