"""Images by URL: the query belongs to it, and what may pass is told from what will not."""

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

import maezoo
from maezoo.errors import DataError
from maezoo.extraction.item import Item, fetch
from maezoo.extraction.sources import find_items


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked[self.path] += 1
        path = urlsplit(self.path).path
        if self.path in self.server.files:
            data = self.server.files[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(data) + (100 if path == "/cut.png" else 0)))
            self.end_headers()
            self.wfile.write(data)
        elif path == "/moved.png":
            self.send_response(302)
            self.send_header("Location", "/photo.png?sig=a%2Fb%3D&size=1")
            self.end_headers()
        else:
            self.send_error(int(path.strip("/")) if path.strip("/").isdigit() else 404)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A web server on this machine with one picture, given only to who has its signature."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(tmp_path / "photo.png")
    photo = (tmp_path / "photo.png").read_bytes()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as serving:
        serving.asked = Counter()
        serving.files = {"/photo.png?sig=a%2Fb%3D&size=1": photo, "/a%20caf%C3%A9.png": photo, "/cut.png": photo}
        serving.url = f"http://127.0.0.1:{serving.server_address[1]}"
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def _fetched(url):
    return fetch(Item(url, url.encode()))


def test_a_list_of_signed_urls_is_extracted(server, tmp_path, small, rows):
    good = [f"{server.url}/photo.png?sig=a%2Fb%3D&size=1", f"{server.url}/a café.png", f"{server.url}/moved.png#top"]
    wrong = [f"{server.url}/photo.png?sig=wrong", f"{server.url}/gone.png"]
    (tmp_path / "list.txt").write_text("\n".join([*good, *wrong]), encoding="utf-8")
    settings = {"model": small, "workers": 0, "dtype": "float32"}
    result = maezoo.extract(tmp_path / "list.txt", tmp_path / "out", **settings)
    assert (result.rows, result.errors) == (3, 2)
    assert rows(tmp_path / "out")["id"].to_pylist() == good
    (tmp_path / "photos").mkdir()
    (tmp_path / "photo.png").rename(tmp_path / "photos" / "photo.png")
    maezoo.extract(tmp_path / "photos", tmp_path / "local", **settings)
    assert rows(tmp_path / "out")["embedding"][0] == rows(tmp_path / "local")["embedding"][0]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/404", FileNotFoundError),
        ("/410", FileNotFoundError),
        ("/403", PermissionError),
        ("/400", DataError),
        ("/429", ConnectionError),
        ("/500", ConnectionError),
        ("/503", ConnectionError),
        ("/cut.png", ConnectionError),
    ],
)
def test_what_may_pass_is_told_from_what_will_not(server, path, kind):
    with pytest.raises(kind, match=path) as caught:
        _fetched(server.url + path)
    assert isinstance(caught.value, ConnectionError) == (kind is ConnectionError)


def test_a_server_that_is_not_there_may_be_there_later(server):
    server.server_close()
    with pytest.raises(ConnectionError, match="cannot be fetched"):
        _fetched(f"{server.url}/photo.png")


@pytest.mark.parametrize("url", ["http://[bad/1.jpg", "http://host:port/1.jpg", "http:///1.jpg"])
def test_what_is_no_url_costs_itself(tmp_path, small, url):
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    (tmp_path / "list.txt").write_text(f"a.png\n{url}\n")
    result = maezoo.extract(tmp_path / "list.txt", tmp_path / "out", model=small, workers=0)
    assert (result.rows, result.errors) == (1, 1)


def test_a_web_server_has_no_folders():
    with pytest.raises(DataError, match="does not list its folders"):
        list(find_items("https://host/photos/"))
