"""Other runtimes call nobody, write nothing into the home folder, and leave the process as it was."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

_PROGRAM = """
import logging, os, signal, socket, sys, warnings
import torch

def refuse(*arguments, **_):
    print("CALLED", arguments[:2], flush=True)
    raise OSError("no network")

socket.getaddrinfo = socket.socket.connect = socket.create_connection = refuse

def state():
    root = logging.getLogger()
    return {
        "environment": dict(os.environ),
        "logging": (root.level, tuple(root.handlers), logging.root.manager.disable, logging.raiseExceptions),
        "warnings": tuple(warnings.filters),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "random": torch.get_rng_state().tolist(),
        "torch": (
            torch.get_default_dtype(),
            torch.are_deterministic_algorithms_enabled(),
            torch.get_float32_matmul_precision(),
            torch.is_grad_enabled(),
            torch.backends.cudnn.benchmark,
            torch.backends.mkldnn.enabled,
        ),
        "folder": os.getcwd(),
        "telemetry": "openvino_telemetry" in sys.modules,
    }

import maezoo
model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
before = state()
fast = model.optimize(engine=sys.argv[1], precision=sys.argv[2], batch_sizes=(2,), cache_dir=sys.argv[3])
fast.features(torch.zeros(2, 3, 96, 96))
after = state()
for name in before:
    assert after[name] == before[name], (name, before[name], after[name])
print("done")
"""


@pytest.mark.parametrize(
    ("engine", "precision", "package"),
    [
        ("openvino", "float32", "openvino"),
        ("onnxruntime", "int8", "onnxruntime"),
        ("pytorch", "float32", "torch"),
    ],
)
def test_an_engine_calls_nobody_and_leaves_the_process_and_the_home_folder_as_they_were(
    tmp_path: Path, engine: str, precision: str, package: str
) -> None:
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    home = tmp_path / "home"
    home.mkdir()
    homes = {name: str(home) for name in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA")}
    variables = {name: value for name, value in os.environ.items() if name not in ("CI", "XDG_CACHE_HOME")}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, engine, precision, str(tmp_path / "cache")],
        env={**variables, **homes, "HF_HOME": str(tmp_path / "hub")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_what_a_user_has_imported_and_set_stays(tmp_path: Path) -> None:
    if find_spec("onnxruntime") is None:
        pytest.skip("onnxruntime is not installed")
    program = """
import os, sys
os.environ["ORT_DISABLE_TELEMETRY"] = "mine"
from maezoo.engines.quiet import import_onnxruntime
found = import_onnxruntime()
assert os.environ["ORT_DISABLE_TELEMETRY"] == "mine"
assert found is sys.modules["onnxruntime"] is import_onnxruntime()
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
