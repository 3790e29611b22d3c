"""Images on a web server: the same pictures, whatever the server cannot do or fails to do for a while."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from maezoo.errors import DataError
from maezoo.training import open_labelled, open_source, pretrain
from maezoo.training.sources import retries
from tests.training.sources.conftest import RECIPE, SMALL, part, pictures, same, views


class _Web(BaseHTTPRequestHandler):
    """Sends parts of files where it may; what is in `failing` is refused so many times first."""

    def do_GET(self) -> None:
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        if self.server.failing.get(self.path, 0) > 0 and self.server.armed:
            self.server.failing[self.path] -= 1
            self.send_error(503)
            return
        asked = self.headers.get("Range") if self.server.parts else None
        if asked:
            first, last = (int(each) for each in asked.removeprefix("bytes=").split("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            content = content[first : last + 1]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def web(data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    """A web server on this machine."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(retries, "_WAITS", (0.0, 0.0))
    with ThreadingHTTPServer(("127.0.0.1", 0), _Web) as serving:
        serving.files = {f"/{path.name}": path.read_bytes() for path in (data / "shards").iterdir()}
        serving.files |= {f"/{path.name}": path.read_bytes() for path in (data / "tables").iterdir()}
        serving.files |= {f"/{name}": content for name, content in pictures().items()}
        serving.failing, serving.armed, serving.parts = {}, True, True
        serving.url = f"http://127.0.0.1:{serving.server_address[1]}"
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


@pytest.mark.parametrize("parts", [True, False])
@pytest.mark.parametrize("names", ["train-{0..1}.tar", "{0..1}.parquet"])
def test_shards_on_a_web_server_give_the_same_pictures(
    web: ThreadingHTTPServer, data: Path, names: str, parts: bool
) -> None:
    web.parts = parts
    same(views(open_source(f"{web.url}/{names}", folder=data / "kept")), views(open_source(data / "folder")))
    if not parts:
        with pytest.raises(DataError, match="sends whole files only"):
            open_source(f"{web.url}/{names}")


def test_a_server_that_fails_for_a_while_costs_nothing(web: ThreadingHTTPServer, data: Path) -> None:
    (data / "urls.txt").write_text("".join(f"{web.url}/{name}\n" for name in pictures()))
    web.failing = {"/002.jpg": 2, "/train-0.tar": 1}
    source = open_source(data / "urls.txt")
    same(views(source), views(open_source(data / "folder")))
    assert len(open_source(f"{web.url}/train-0.tar")) == 8


def test_labelled_images_are_tried_again_too(web: ThreadingHTTPServer, data: Path) -> None:
    rows = [f"{web.url}/{name},{number % 2}" for number, name in enumerate(part(pictures(), 0, 4))]
    (data / "list.csv").write_text("\n".join(["path,label", *rows]))
    web.failing = {"/002.jpg": 2}
    images, _ = open_labelled(data / "list.csv", 0.0)
    assert all(images.picture(number, 32) for number in range(4))


def test_a_server_that_keeps_failing_is_named_and_the_same_command_resumes(
    web: ThreadingHTTPServer, data: Path
) -> None:
    whole = pretrain(RECIPE, open_source(f"{web.url}/train-1.tar"), data / "whole", variant=SMALL, device="cpu")
    web.armed = False
    web.failing = {"/train-1.tar": 10**6}

    def fail(progress: object) -> None:
        web.armed = True

    settings = {"variant": SMALL, "device": "cpu", "report": fail, "report_every": 3}
    with pytest.raises(OSError, match=r"train-1\.tar.* cannot be read for now, after 3 tries.*503.*same command"):
        pretrain(RECIPE, open_source(f"{web.url}/train-1.tar"), data / "out", **settings)
    assert (data / "out" / "checkpoint.safetensors").exists()  # nothing of what was learned is lost
    web.armed = False
    resumed = pretrain(RECIPE, open_source(f"{web.url}/train-1.tar"), data / "out", variant=SMALL, device="cpu")
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole.state_dict().items())


def test_what_is_gone_from_a_server_is_left_out(web: ThreadingHTTPServer, data: Path) -> None:
    names = [*pictures()][:5]
    (data / "urls.txt").write_text("".join(f"{web.url}/{name}\n" for name in [*names, "gone.jpg"]))
    source = open_source(data / "urls.txt")
    assert views(source)[5].isnan().all()
    assert list(source.left_out()) == [f"{web.url}/gone.jpg"]
