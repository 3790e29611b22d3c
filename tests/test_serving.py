"""The example of a service: 16 clients with good and bad pictures, its start, and its end."""

import io
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

import maezoo

EXAMPLES = Path(__file__).parent.parent / "examples"


@contextmanager
def started(home: Path, **settings: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The service in a process of its own, with an empty cache and no proxy; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "serve:app", "--app-dir", str(EXAMPLES), "--port", str(port)]
    environment = {**os.environ, "HF_HOME": str(home), "OMP_NUM_THREADS": "1", **settings}
    process = subprocess.Popen(command, env=environment, text=True, stderr=subprocess.PIPE)
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()


def wait_for(process: subprocess.Popen[str], address: str) -> None:
    while process.poll() is None:
        try:
            assert httpx.get(f"{address}/readyz", trust_env=False).json()["ready"]
            return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(process.communicate()[1])


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with started(tmp_path_factory.mktemp("home"), LARGEST_UPLOAD="1000000") as (process, address):
        wait_for(process, address)
        yield address


@pytest.fixture(scope="module")
def client(service: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service, timeout=60, trust_env=False) as client:
        yield client


def bomb() -> bytes:
    """A PNG of 400 million pixels that are not there."""
    parts = {b"IHDR": struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0), b"IDAT": zlib.compress(bytes(99))}
    chunks = (
        struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))
        for tag, data in parts.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def twelve_bits_as_tiff() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.linspace(0, 4095, 4096).astype(np.uint16).reshape(64, 64)).save(buffer, "TIFF")
    return buffer.getvalue()


def test_16_clients_get_what_each_asked_for(client: httpx.Client, photos: list[Path]) -> None:
    good = [path.read_bytes() for path in photos] + [twelve_bits_as_tiff()]
    bad = {
        b"": 422,
        b"no picture": 422,
        good[0][:2000]: 422,
        bomb(): 422,
        bytes(1_500_000): 413,
        bytes(20_000_000): 413,
    }
    alone = [client.post("/features", files={"file": data}).json()["features"] for data in good]

    def ask(number: int) -> Counter[bool]:
        found: Counter[bool] = Counter()
        for turn in range(number, number + 8):
            data = good[turn % len(good)]
            answer = client.post("/features", files={"file": (f"{number}.jpg", data)})
            found[
                answer.status_code == 200 and np.allclose(answer.json()["features"], alone[turn % len(good)], atol=1e-5)
            ] += 1
            data, status = list(bad.items())[turn % len(bad)]
            answer = client.post("/features", files={"file": data})
            found[answer.status_code == status and isinstance(answer.json()["detail"], str)] += 1
        return found

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(ask, range(16)), Counter()) == {True: 16 * 16}
    expected = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu").features(photos)
    torch.testing.assert_close(torch.tensor(alone[:-1]), expected, atol=1e-5, rtol=0)
    assert client.get("/readyz").json() == {"ready": True, "waiting": 0}


def test_what_is_wrong_is_said(client: httpx.Client) -> None:
    assert client.post("/features", files={"file": b""}).json()["reason"] == "the file is empty"
    assert "at most 1,000,000 bytes" in client.post("/features", files={"file": bytes(1_000_000)}).json()["detail"]
    assert client.post("/features", data={"file": "text"}).status_code == 422
    assert client.get("/features").status_code == 405
    assert client.get("/healthz").json() == {"status": "ok"}


def test_weights_that_are_not_here_end_the_start_and_nothing_is_downloaded(tmp_path: Path) -> None:
    with started(tmp_path / "home", MODEL="mae_vit_base") as (process, _):
        _, said = process.communicate(timeout=200)
    assert process.returncode != 0
    assert "OfflineError" in said
    assert not list((tmp_path / "home").rglob("*.safetensors"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process at once")
def test_a_request_that_has_begun_is_answered_before_the_end(tmp_path: Path, photos: list[Path]) -> None:
    request = httpx.Request("POST", "http://x/features", files={"file": photos[0].read_bytes()})
    body = request.read()
    with started(tmp_path) as (process, address):
        wait_for(process, address)

        def parts() -> Iterator[bytes]:
            yield body[:5000]
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            yield body[5000:]

        headers = {name: request.headers[name] for name in ("Content-Type", "Content-Length")}
        answer = httpx.post(f"{address}/features", content=parts(), headers=headers, timeout=60, trust_env=False)
        assert answer.status_code == 200
        assert process.wait(60) in (0, -signal.SIGTERM)
