import json
import os
import re
import signal
import socket
import sys
import urllib.error
import urllib.request

import pytest
from typer.testing import CliRunner

from maezoo.cli import app
from maezoo.errors import ArgumentError, MissingExtraError, UnknownModelError

from .conftest import demo


def test_a_missing_gradio_is_named(monkeypatch):
    from maezoo.demo import served

    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'maezoo[demo]'")), served():
        pass


def test_the_command_explains_itself():
    result = CliRunner().invoke(app, ["demo", "--help"])
    assert result.exit_code == 0
    assert "127.0.0.1" in result.output


def test_the_page_is_private(served):
    assert served.address.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(served.address, timeout=20) as answer:
        policy = answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in policy
    assert "http" not in policy


def test_other_addresses_of_this_machine_refuse(served):
    try:
        other = socket.gethostbyname(socket.gethostname())
    except OSError:
        pytest.skip("this machine has no name")
    if other.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    port = int(served.address.rstrip("/").rpartition(":")[2])
    with socket.socket() as caller:
        caller.settimeout(2)
        assert caller.connect_ex((other, port)) != 0


def test_a_file_over_the_limit_is_refused(served):
    boundary = "boundary"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="big.jpg"\r\n\r\n'
    body = head.encode() + bytes(21_000_000) + f"\r\n--{boundary}--\r\n".encode()
    request = urllib.request.Request(
        f"{served.address.rstrip('/')}/gradio_api/upload",
        data=body,
        headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    refused.value.close()
    assert refused.value.code == 413
    assert not [path for path in served.scratch.rglob("*") if path.is_file() and path.stat().st_size > 1_000_000]


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such signals")
def test_it_starts_with_the_window_that_is_asked_for_and_leaves_nothing_when_it_ends(tmp_path):
    pytest.importorskip("gradio", reason="the page needs the extra 'demo'")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with demo(scratch, "--window", "-160,240") as running:
        assert list(scratch.glob("maezoo-demo-*"))
        with urllib.request.urlopen(f"{running.address.rstrip('/')}/config", timeout=20) as answer:
            parts = {part["props"].get("elem_id"): part["props"] for part in json.load(answer)["components"]}
        assert parts["window"]["value"] == "-160,240"
    assert list(scratch.glob("maezoo-demo-*")) == []
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(running.address, timeout=5)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="other systems have no such signals")
def test_it_ends_on_sigterm_too(tmp_path):
    pytest.importorskip("gradio", reason="the page needs the extra 'demo'")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with demo(scratch, ends_by=signal.SIGTERM):
        pass
    assert list(scratch.glob("maezoo-demo-*")) == []


def test_a_taken_port_is_an_error():
    pytest.importorskip("gradio", reason="the page needs the extra 'demo'")
    from maezoo.demo import served

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=str(port)), served(port=port, device="cpu"):
            pass


@pytest.mark.parametrize("window", ["fool", (240, -160), ((0.0, 0.0), (1.0, 1.0))])
def test_an_impossible_window_is_refused_before_there_is_a_page(window):
    from maezoo.demo import served

    with pytest.raises(ArgumentError), served(window=window, device="cpu"):
        pass


def test_an_unknown_model_is_refused_before_there_is_a_page():
    pytest.importorskip("gradio", reason="the page needs the extra 'demo'")
    from maezoo.demo import served

    with pytest.raises(UnknownModelError), served(model="mae_vit_tni", device="cpu"):
        pass
