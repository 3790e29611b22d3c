"""A slow hub on loopback with one file of weights, in a process of its own, and the settings that lead to it."""

import importlib
import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

__all__ = ["NAME", "publish"]

NAME = "mae_vit_tiny.test"
_ROOT = Path(__file__).parents[2]
_WEIGHTS = _ROOT / "maezoo/checkpoints/mae_vit_tiny.safetensors"
_PACE = 0.004  # seconds for each 64 KB
_REPOSITORY = "zoo/tiny"


def publish(folder: Path) -> None:
    """Start the hub, and set the environment that leads there; huggingface_hub must not be imported yet."""
    server: Any = importlib.import_module("tests.hub.server")
    receive, send = os.pipe()
    parent = os.getpid()
    if os.fork() == 0:
        hub = server.Hub()
        hub.always = server.slowly(_PACE)
        sha256 = hub.add(_REPOSITORY, "model.safetensors", _WEIGHTS.read_bytes())
        os.write(send, json.dumps([hub.url, sha256]).encode())
        while os.getppid() == parent:
            threading.Event().wait(0.5)
        os.kill(os.getpid(), signal.SIGKILL)
    url, sha256 = json.loads(os.read(receive, 10_000))
    _write_manifest(folder / "manifest.json", sha256, server.COMMIT)
    os.environ |= {
        "MAEZOO_MANIFEST": str(folder / "manifest.json"),
        "HF_ENDPOINT": url,
        "HF_HOME": str(folder / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
    }


def _write_manifest(path: Path, sha256: str, commit: str) -> None:
    """Write a manifest of the one file."""
    packaged = json.loads((_ROOT / "weights_manifest.json").read_text(encoding="utf-8"))
    entry = {k: v for k, v in packaged["weights"]["mae_vit_tiny.photos_pixel"].items() if k != "package_file"}
    entry |= {"repo_id": _REPOSITORY, "revision": commit, "filename": "model.safetensors", "sha256": sha256}
    entry["size"] = _WEIGHTS.stat().st_size
    data = {"schema_version": 1, "defaults": {"mae_vit_tiny": "test"}, "weights": {NAME: entry}}
    path.write_text(json.dumps(data), encoding="utf-8")
