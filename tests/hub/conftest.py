import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from .server import COMMIT, Hub

ROOT = Path(__file__).parents[2]
TINY = ROOT / "maezoo/checkpoints/mae_vit_tiny.safetensors"
REPO = "zoo/tiny"
NAME = "mae_vit_tiny.test"
_KEPT = ("PATH", "PYTHONPATH", "SYSTEMROOT", "TMPDIR", "TEMP", "LD_LIBRARY_PATH")


@pytest.fixture
def hub():
    server = Hub()
    yield server
    server.close()


class Machine:
    """A clean machine of its own home, cache and manifest, on which Python runs in processes of their own."""

    def __init__(self, folder: Path, hub: Hub):
        self.folder = folder
        self.hub = hub
        self.cache = folder / "home" / "hub"
        self.manifest = folder / "manifest.json"
        self.environment = {
            **{name: os.environ[name] for name in _KEPT if name in os.environ},
            "HOME": str(folder),
            "HF_HOME": str(folder / "home"),
            "HF_ENDPOINT": hub.url,
            "HF_HUB_ETAG_TIMEOUT": "2",
            "HF_HUB_DOWNLOAD_TIMEOUT": "2",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "MAEZOO_MANIFEST": str(self.manifest),
            "NO_PROXY": "127.0.0.1",
            "OMP_NUM_THREADS": "1",
        }

    def publish(self, data: bytes | None = None, **changes) -> str:
        """Put a weights file onto the hub and into the manifest; return its sha256."""
        data = TINY.read_bytes() if data is None else data
        sha256 = self.hub.add(REPO, changes.get("filename", "model.safetensors"), data)
        packaged = json.loads((ROOT / "weights_manifest.json").read_text())["weights"]["mae_vit_tiny.photos_pixel"]
        entry = {key: value for key, value in packaged.items() if key != "package_file"} | {
            "repo_id": REPO,
            "revision": COMMIT,
            "filename": "model.safetensors",
            "size": len(data),
            "sha256": sha256,
            **changes,
        }
        manifest = {"schema_version": 1, "defaults": {"mae_vit_tiny": "test"}, "weights": {NAME: entry}}
        self.manifest.write_text(json.dumps(manifest))
        return sha256

    def start(self, code: str, **environment: str) -> subprocess.Popen:
        """Start Python on some code, in this machine's environment."""
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", _PRELUDE + textwrap.dedent(code)],
            env={**self.environment, **environment},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, code: str = "print(fetch())", **environment: str) -> subprocess.CompletedProcess:
        """Run Python on some code; a maezoo error is printed as `Class: message`."""
        process = self.start(code, **environment)
        out, err = process.communicate(timeout=100)
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(process.args, process.returncode, out.strip(), err)

    def blob(self) -> Path:
        """The one file of the cache."""
        return next(self.cache.glob("models--*/snapshots/*/model.safetensors")).resolve()


_PRELUDE = f"""
import sys
from maezoo.errors import MaezooError
from maezoo.hub.fetching import fetch as _fetch
from maezoo.manifest.entries import load_manifest
def fetch(**kwargs):
    try:
        return _fetch(load_manifest().find({NAME!r}), **kwargs)
    except MaezooError as error:
        return f"{{type(error).__name__}}: {{error}}"
"""


@pytest.fixture
def machine(tmp_path, hub) -> Machine:
    made = Machine(tmp_path, hub)
    made.publish(bytes(range(256)) * 8000)  # 2 MB, no weights: the hub's business is bytes
    return made


@pytest.fixture
def here(machine, monkeypatch) -> Machine:
    """That machine's hub, cache and manifest for code in this process: quick, where no second process is needed."""
    from huggingface_hub import constants, file_download

    monkeypatch.setattr(constants, "ENDPOINT", machine.hub.url)
    template = machine.hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    for module in (constants, file_download):  # huggingface_hub 0.34 reads its copy in the second
        monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(machine.cache))
    monkeypatch.setenv("HF_HOME", machine.environment["HF_HOME"])
    monkeypatch.setenv("MAEZOO_MANIFEST", str(machine.manifest))
    monkeypatch.chdir(machine.folder)
    return machine
