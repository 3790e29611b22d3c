"""A hub on loopback: real HTTP, the endpoints that huggingface_hub's own client uses, and faults on demand."""

import base64
import hashlib
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
Fault = Callable[["Handler", bytes], bool]


class Hub:
    """The server: repositories in memory, a log of requests, and a list of faults that are used up one by one."""

    def __init__(self):
        self.files: dict[tuple[str, str], bytes] = {}
        self.revisions = {COMMIT, "main", "refs/pr/1"}
        self.commit = COMMIT
        self.lfs: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, str | None]] = []
        self.head_faults: list[Fault] = []
        self.get_faults: list[Fault] = []
        self.always: Fault | None = None
        self.in_git: set[tuple[str, str]] = set()  # files that are small enough not to be in LFS
        self.etags: dict[tuple[str, str], str] = {}
        self.lock = threading.Lock()
        self._server = Server(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def add(self, repo: str, filename: str, data: bytes) -> str:
        self.files[repo, filename] = data
        return hashlib.sha256(data).hexdigest()

    def count(self, method: str, part: str = "/resolve/") -> int:
        return sum(1 for verb, path, _ in self.requests if verb == method and part in path)

    def counts(self) -> Counter:
        return Counter(verb for verb, _, _ in self.requests)

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request, client_address):  # clients that go away are part of the tests
        pass


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.serve(body=False)

    def do_GET(self):
        self.serve(body=True)

    def serve(self, *, body: bool):
        path = unquote(urlsplit(self.path).path)
        with self.hub.lock:
            self.hub.requests.append((self.command, path, self.headers.get("Range")))
            faults = self.hub.get_faults if body else self.hub.head_faults
            fault = faults.pop(0) if faults else (self.hub.always if body else None)
        if path.startswith("/api/models/"):
            return self.answer(200, json.dumps({"id": "x", "sha": COMMIT, "siblings": []}).encode())
        repo, _, rest = path.lstrip("/").partition("/resolve/")
        revision = next((r for r in self.hub.revisions if rest.startswith(f"{r}/")), None)
        filename = rest[len(revision) + 1 :] if revision else ""
        data = self.hub.files.get((repo, filename))
        if not any(known == repo for known, _ in self.hub.files):
            return self.fail(401, "RepoNotFound")
        if revision is None:
            return self.fail(404, "RevisionNotFound")
        if data is None:
            return self.fail(404, "EntryNotFound", {"X-Repo-Commit": self.hub.commit})
        if fault is not None and fault(self, data):
            return None
        return self.send_file(repo, filename, data, body)

    def send_file(self, repo, filename, data, body=True, *, cut=None, damage=None, pace=None):
        large = filename.endswith(LARGE) and (repo, filename) not in self.hub.in_git
        etag = (
            self.hub.etags.get((repo, filename))
            or (hashlib.sha256(data) if large else hashlib.sha1(b"blob %d\0" % len(data) + data)).hexdigest()
        )
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        if start >= len(data) > 0:
            return self.fail(416, "")
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", self.hub.commit)
        if large:
            self.send_header("X-Linked-Etag", f'"{etag}"')
            self.send_header("X-Linked-Size", str(len(data)))
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if not body:
            return None
        if damage is not None:
            data = damage(data)
        chunk = 2**16
        for at in range(start, min(len(data), start + cut) if cut is not None else len(data), chunk):
            stop = min(at + chunk, start + cut) if cut is not None else at + chunk
            self.wfile.write(data[at:stop])
            if pace:
                self.wfile.flush()
                time.sleep(pace)
        return None

    def fail(self, status, code, headers=None, body=b"", kind="text/plain"):
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer(self, status, body=b"{}", kind="application/json"):
        self.fail(status, "", body=body, kind=kind)

    # --- what an upload needs ---

    def do_POST(self):
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.requests.append(("POST", path, None))
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(filter(None, (asked.get("organization"), asked["name"])))
            return self.answer(200, json.dumps({"url": f"{self.hub.url}/{name}", "id": name}).encode())
        if "/preupload/" in path:
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
            return self.answer(200, json.dumps({"files": files}).encode())
        if path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**item, "actions": {"upload": {"href": f"{self.hub.url}/upload/{item['oid']}"}}}
                for item in json.loads(body)["objects"]
            ]
            return self.answer(200, json.dumps({"transfer": "basic", "objects": objects}).encode())
        if "/commit/" in path:
            repo = path.removeprefix("/api/models/").split("/commit/")[0]
            for line in body.splitlines():
                item = json.loads(line)
                if item["key"] == "file":
                    self.hub.add(repo, item["value"]["path"], base64.b64decode(item["value"]["content"]))
                elif item["key"] == "lfsFile":
                    self.hub.add(repo, item["value"]["path"], self.hub.lfs[item["value"]["oid"]])
            answer = {"commitUrl": f"{self.hub.url}/{repo}/commit/{COMMIT}", "commitOid": COMMIT}
            return self.answer(200, json.dumps(answer).encode())
        return self.answer(200)

    def do_PUT(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.lfs[self.path.rpartition("/")[2]] = data
        self.answer(200)


# --- faults: each answers a request in place of the server, and says whether it did ---


def status(code: int, headers=None, error_code="") -> Fault:
    return lambda handler, data: handler.fail(code, error_code, headers) or True


def cut_after(count: int, *, reset=False) -> Fault:
    def fault(handler, data):
        handler.send_file(*_names(handler), data, cut=count)
        handler.wfile.flush()
        if reset:  # RST instead of FIN
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.close_connection = True
        handler.connection.close()
        return True

    return fault


def hang(seconds: float) -> Fault:
    def fault(handler, data):
        time.sleep(seconds)
        handler.close_connection = True
        return True

    return fault


def flipped(handler: Handler, data: bytes) -> bool:
    handler.send_file(*_names(handler), data, damage=lambda d: d[:-10] + bytes([d[-10] ^ 1]) + d[-9:])
    return True


def other_bytes(handler: Handler, data: bytes) -> bool:
    handler.send_file(*_names(handler), data, damage=lambda d: bytes(len(d)))
    return True


def login_page(handler: Handler, data: bytes) -> bool:
    handler.answer(200, b"<html>Please log in</html>", "text/html")
    return True


def slowly(pace: float) -> Fault:
    return lambda handler, data: handler.send_file(*_names(handler), data, pace=pace) or True


def ignoring_range(handler: Handler, data: bytes) -> bool:
    del handler.headers["Range"]
    handler.send_file(*_names(handler), data)
    return True


def _names(handler):
    repo, _, rest = unquote(urlsplit(handler.path).path).lstrip("/").partition("/resolve/")
    revision = next(r for r in handler.hub.revisions if rest.startswith(f"{r}/"))
    return repo, rest[len(revision) + 1 :]
