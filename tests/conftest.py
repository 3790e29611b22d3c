"""What all tests share: a clean environment, a cache of their own, photographs."""

import os
import signal
import tempfile
from pathlib import Path

import pytest
import torch

# Several processes of tests share the processors (`pytest -n auto`): one thread for each, and for what it starts.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)

# huggingface_hub reads this when it is imported: no test may reach the cache of whoever runs them.
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="maezoo-tests-")

# A shell that runs the tests as a background job ignores Ctrl-C for them and for the commands that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

HERE = Path(__file__).parent
pytest_plugins = ["tests.weight_files"]  # fixtures that write weights files


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take away the user's settings and give each test a cache of its own."""
    for name in list(os.environ):
        if name.startswith(("MAEZOO_", "HF_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf_home"))


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def photos() -> list[Path]:
    """A few small photographs."""
    found = sorted((HERE / "data" / "photos").glob("*.jpg"))
    assert found, "tests/data/photos is empty"
    return found


@pytest.fixture(scope="session")
def golden() -> Path:
    return HERE / "data" / "golden"
