"""The progress bar of a download."""

import io
import sys
from pathlib import Path

import pytest

from maezoo.hub.client import HubFile, RemoteFile
from maezoo.hub.transfer import download


class Terminal(io.StringIO):
    """Keeps what is shown."""

    def isatty(self) -> bool:
        return True


def test_a_resumed_download_shows_the_bytes_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    partial = tmp_path / "partial"
    partial.write_bytes(b"x" * 1000)  # all of it: the hub is not asked again
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.delenv("HF_HUB_DISABLE_PROGRESS_BARS", raising=False)
    download(HubFile("zoo/tiny", "main", "model.safetensors"), RemoteFile("0" * 40, "0" * 64, 1000), partial)
    assert "100%" in terminal.getvalue()
    assert "0%|  " not in terminal.getvalue()
