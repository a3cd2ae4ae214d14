"""A small hub on 127.0.0.1 for the real client libraries: data sets and models in memory, and faults on request.

with Hub() as hub:
    sha = hub.publish("people/letters", {"data/train.parquet": b"..."})
    hub.fault("status", match="/api/", every=2, status=503)
    ... HF_ENDPOINT=hub.url ...
"""

import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = (".parquet", ".gz", ".zst")
API = re.compile(r"/api/(?:datasets|models)/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.*))?)?")
RESOLVE = re.compile(r"(?:/datasets)?/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
STORED = re.compile(r"/stored/([^/]+/[^/]+)/([^/]+)/(.+)")


@dataclass
class Fault:
    """What goes wrong with each `every`-th request whose path matches, `times` times at most.

    With `first` it is the first request of each method, path and range that goes wrong.

    kind: status (answer `status`), cut (drop the connection after `after` bytes of the body), half (a shorter range
    than asked for, correctly labelled), wrong (a range that starts elsewhere), whole (ranges are ignored), silent
    (nothing more after `after` bytes for `seconds`), drip (`after` bytes at a time, a pause of `seconds` between them),
    unlabelled (a 206 that does not say which bytes it holds).
    """

    kind: str
    match: str = ""
    method: str = ""
    every: int = 1
    times: int = 1_000_000
    status: int = 503
    after: int = 0
    seconds: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    first: bool = False
    seen: int = 0
    done: int = 0
    known: set = field(default_factory=set)

    def hits(self, method: str, path: str, span: str | None) -> bool:
        if self.done >= self.times or (self.method and method != self.method) or not re.search(self.match, path):
            return False
        self.seen += 1
        hit = (method, path, span) not in self.known if self.first else self.seen % self.every == 0
        self.known.add((method, path, span))
        self.done += hit
        return hit


class Hub:
    """The server and what it serves; `requests` holds (method, path, range, body bytes sent) of each request.

    With `stores` set, large files lie on a second server, as they do on the real hub: the first one answers with 302 to
    an address there that is signed in itself, and with `xet` it offers the same file by that protocol too. `renamed`
    maps the former name of a data set to its present one, answered with 307 or 308 to the same path.
    """

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, dict[str, bytes]]] = {}
        self.branches: dict[str, dict[str, str]] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str, str | None, int]] = []
        self.tokens: set[str | None] = set()
        self.stores = self.xet = False
        self.renamed: dict[str, str] = {}
        # Names of the headers that the second server was sent.
        self.told_elsewhere: set[str] = set()
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.server = _Server(("127.0.0.1", 0), type("Bound", (_Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.store = _Server(("127.0.0.1", 0), self.server.RequestHandlerClass)
        self.store_url = f"http://127.0.0.1:{self.store.server_address[1]}"

    def __enter__(self) -> "Hub":
        for server in (self.server, self.store):
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        for server in (self.server, self.store):
            server.shutdown()
            server.server_close()

    def publish(self, repo: str, files: dict[str, bytes], branch: str = "main") -> str:
        """Make the files a commit of the data set and let the branch name it."""
        digest = hashlib.sha1(repo.encode())
        for name, data in sorted(files.items()):
            digest.update(name.encode() + b"\0" + data)
        self.commits.setdefault(repo, {})[digest.hexdigest()] = files
        self.branches.setdefault(repo, {})[branch] = digest.hexdigest()
        return digest.hexdigest()

    def fault(self, kind: str, **values) -> None:
        self.faults.append(Fault(kind, **values))

    def heal(self) -> None:
        """End all faults and forget the requests."""
        self.faults.clear()
        self.requests.clear()
        self.stores = self.xet = False
        self.renamed.clear()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up in the middle are what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        address = urlsplit(self.path)
        path, self.sent = unquote(address.path), 0
        posted = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.tokens.add(self.headers.get("Authorization"))
        with self.hub.lock:
            asked = (self.command, path, self.headers.get("Range"))
            self.fault = next((fault for fault in self.hub.faults if fault.hits(*asked)), None)
        try:
            if self.fault and self.fault.kind == "status":
                self._json({"error": "fault"}, self.fault.status, self.fault.headers)
            elif moved := next((old for old in self.hub.renamed if f"/datasets/{old}" in path), None):
                status = 308 if "/resolve/" in path else 307
                self._json({}, status, {"Location": self.path.replace(moved, self.hub.renamed[moved])})
            elif match := API.fullmatch(path.rstrip("/")):
                self._api(*match.groups(), parse_qs(address.query), posted)
            elif match := STORED.fullmatch(path):
                self.hub.told_elsewhere.update(name.lower() for name in self.headers)
                self._file(*match.groups(), elsewhere=True)
            elif match := RESOLVE.fullmatch(path):
                self._file(*match.groups())
            else:
                self._missing("EntryNotFound")
        except ConnectionError:
            self.close_connection = True
        finally:
            self.hub.requests.append((self.command, path, self.headers.get("Range"), self.sent))

    def _commit(self, repo: str, revision: str | None) -> tuple[str, dict[str, bytes]] | None:
        commits = self.hub.commits.get(repo)
        if commits is None:
            return self._missing("RepoNotFound")
        sha = self.hub.branches[repo].get(revision or "main", revision)
        if sha not in commits:
            return self._missing("RevisionNotFound")
        return sha, commits[sha]

    def _api(self, repo: str, verb: str | None, revision: str | None, below: str | None, query: dict, posted: bytes):
        found = self._commit(repo, revision)
        if found is None:
            return
        sha, files = found
        if verb == "paths-info":
            asked = json.loads(posted)["paths"] if posted.startswith(b"{") else parse_qs(posted.decode())["paths"]
            self._json([_entry(name, files[name]) for name in asked if name in files])
        elif verb == "tree":
            entries = _tree(files, below or "", query.get("recursive", ["false"])[0].lower() in ("true", "1"))
            self._json(entries) if entries else self._missing("EntryNotFound")
        else:
            about = {"_id": "0", "id": repo, "sha": sha, "private": False, "gated": False, "disabled": False}
            dates = {"lastModified": "2026-01-01T00:00:00.000Z", "createdAt": "2026-01-01T00:00:00.000Z"}
            names = {"siblings": [{"rfilename": name} for name in sorted(files)], "tags": [], "likes": 0}
            self._json(about | dates | names | {"author": repo.split("/")[0], "downloads": 0})

    def _file(self, repo: str, revision: str, name: str, elsewhere: bool = False) -> None:
        found = self._commit(repo, revision)
        if found is None:
            return
        sha, files = found
        if name not in files:
            self._missing("EntryNotFound")
            return
        if self.hub.stores and name.endswith(LARGE) and not elsewhere:
            self._redirect(repo, sha, name, files[name])
            return
        data, kind = files[name], self.fault.kind if self.fault else ""
        status, start, end = 200, 0, len(data)
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        if asked and kind != "whole":
            status = 206
            start = int(asked[1]) if asked[1] else len(data) - int(asked[2])
            end = min(len(data), int(asked[2]) + 1) if asked[1] and asked[2] else len(data)
            if kind == "half" and end - start > 1:
                end = start + (end - start) // 2
            if kind == "wrong":
                start, end = max(0, start - 1), max(1, end - 1)
        etag = _etag(name, data)
        own = {"ETag": f'"{etag}"', "X-Linked-Etag": f'"{etag}"', "X-Linked-Size": len(data), "X-Repo-Commit": sha}
        self.send_response(status)
        for key, value in ({"ETag": '"of-the-store"'} if elsewhere else own).items() | {
            "Accept-Ranges": "bytes", "Content-Length": end - start, "Content-Type": "application/octet-stream",
        }.items():  # fmt: skip
            self.send_header(key, str(value))
        if status == 206 and kind != "unlabelled":
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        self.end_headers()
        if self.command != "HEAD":
            self._body(data[start:end])

    def _redirect(self, repo: str, sha: str, name: str, data: bytes) -> None:
        """The answer for a large file: where its bytes are, and what they must be."""
        headers = {
            "Location": f"{self.hub.store_url}/stored/{repo}/{sha}/{name}?signature=secret",
            "X-Linked-Etag": f'"{_etag(name, data)}"', "X-Linked-Size": str(len(data)), "X-Repo-Commit": sha,
        }  # fmt: skip
        if self.hub.xet:
            headers["X-Xet-Hash"] = hashlib.sha256(data).hexdigest()
            address = f"{self.hub.url}/api/datasets/{repo}/xet-read-token/{sha}"
            headers["Link"] = (
                f'<{address}>; rel="xet-auth", <{self.hub.url}/reconstruct>; rel="xet-reconstruction-info"'
            )
        self._json({}, 302, headers)

    def _body(self, data: bytes) -> None:
        """Send the body; a fault may end, stop or slow it."""
        kind, after = (self.fault.kind, self.fault.after) if self.fault else ("", 0)
        step = max(1, after) if kind == "drip" else 1 << 16
        if kind in ("cut", "silent") and len(data) > after:
            self._send(data[:after])
            if kind == "cut":
                self.close_connection = True
                return
            self.hub.ended.wait(self.fault.seconds)
            data = data[after:]
        for place in range(0, len(data), step):
            self._send(data[place : place + step])
            if kind == "drip":
                time.sleep(self.fault.seconds)

    def _send(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()
        self.sent += len(data)

    def _json(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        for key, content in (headers or {}).items():
            self.send_header(key, content)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self._body(data)

    def _missing(self, code: str) -> None:
        # Over plain http the libraries know what is missing by these headers alone.
        self._json({"error": code}, 404, {"X-Error-Code": code, "X-Error-Message": code})


def _etag(name: str, data: bytes) -> str:
    if name.endswith(LARGE):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _entry(name: str, data: bytes) -> dict:
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    entry = {"type": "file", "oid": blob, "size": len(data), "path": name}
    if name.endswith(LARGE):
        entry["lfs"] = {"oid": _etag(name, data), "size": len(data), "pointerSize": 134}
    return entry


def _tree(files: dict[str, bytes], below: str, recursive: bool) -> list[dict]:
    """The entries under a folder: files, and the folders that they are in."""
    start = f"{below}/" if below else ""
    entries = {}
    for name, data in files.items():
        if not name.startswith(start):
            continue
        parts = name.removeprefix(start).split("/")
        for depth in range(1, len(parts) if recursive else min(2, len(parts))):
            folder = start + "/".join(parts[:depth])
            oid = hashlib.sha1(folder.encode()).hexdigest()
            entries[folder] = {"type": "directory", "oid": oid, "size": 0, "path": folder}
        if recursive or len(parts) == 1:
            entries[name] = _entry(name, data)
    return [entries[path] for path in sorted(entries)]
