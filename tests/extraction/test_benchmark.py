"""The benchmark runs and its arithmetic holds; what it measures is for a quiet machine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("benchmarks", reason="an installed package has no benchmarks beside it")
from benchmarks.speed.extract import shared_cores

ROOT = Path(__file__).parents[2]


def test_all_stages_are_measured_in_one_run(tmp_path):
    out = tmp_path / "extract.json"
    options = ["--images", "24", "--batch-size", "8", "--side", "100", "--workers", "0", "--device", "cpu"]
    command = [sys.executable, "-m", "benchmarks.speed.extract", *options, "--out", str(out)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(out.read_text(encoding="utf-8"))
    rates = found["images_per_second"]
    assert list(rates) == ["decode alone", "decode alone, --exact", "model alone", "pipeline", "timm + DataLoader"]
    assert all(rate > 0 for rate in rates.values())
    assert found["bounds"]["slower of two"] == min(rates["decode alone"], rates["model alone"])
    assert found["bound_that_applies"] == "shared cores"
    assert "<- applies on this device" in answer.stdout


def test_the_bound_of_shared_cores():
    both_full = shared_cores(300, 100, cores=4, threads=4, workers=4)
    assert both_full == pytest.approx(1 / (1 / 300 + 1 / 100))
    assert shared_cores(300, 100, cores=4, threads=4, workers=0) == pytest.approx(both_full)
    assert shared_cores(300, 100, cores=2, threads=1, workers=1) == 100  # a core each: the slower one decides
    assert shared_cores(300, 100, cores=4, threads=4, workers=1) == pytest.approx(4 / (1 / 300 + 4 / 100))
