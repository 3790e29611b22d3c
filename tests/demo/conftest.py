"""The page runs in a process of its own, as it does for its users."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

_COMMAND = [sys.executable, "-c", "from maezoo.cli import main; main()", "demo", "--device", "cpu", "--no-browser"]


class Served(NamedTuple):
    address: str
    scratch: Path  # the server's temporary folder


@contextmanager
def demo(scratch: Path, *options: str, ends_by: int = signal.SIGINT) -> Iterator[Served]:
    """Run `maezoo demo` while the block runs; it is ended as Ctrl-C does."""
    environment = {**os.environ, "TMPDIR": str(scratch), "TEMP": str(scratch), "PYTHONUNBUFFERED": "1"}
    environment |= {"COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen([*_COMMAND, *options], **streams, env=environment)
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if found := re.search(r"http://\S+", line):
                yield Served(found[0], scratch)
                break
        else:
            raise AssertionError(f"the demo did not start: {''.join(said)}")
    finally:
        if os.name == "posix":
            process.send_signal(ends_by)
        else:
            process.terminate()
        process.communicate(timeout=30)


@pytest.fixture(scope="session")
def served(tmp_path_factory) -> Iterator[Served]:
    pytest.importorskip("gradio", reason="the page needs the extra 'demo'")
    with demo(tmp_path_factory.mktemp("scratch")) as running:
        yield running


@pytest.fixture(scope="session")
def address(served) -> str:
    return served.address
