"""A push puts the files of an export into a repository, over real HTTP, and tells its token to nobody else."""

import base64
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

TOKEN = "hf_SECRETsecretSECRETsecret"
SCRIPT = "workflow/scripts/push_export.py"


class Receiver(BaseHTTPRequestHandler):
    """What a push asks of the hub: a repository, what goes how, and one commit; all files go in line."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        self.server.seen.append((self.path, self.headers.get("Authorization")))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer({"error": f"token {self.headers.get('Authorization')} is not known"}, 401)
        if "/preupload/" in self.path:
            names = [one["path"] for one in json.loads(body)["files"]]
            found = [{"path": name, "uploadMode": "regular", "shouldIgnore": False, "oid": None} for name in names]
            return self.answer({"files": found})
        if "/commit/" in self.path:
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    self.server.files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            where = f"{self.server.url}/me/small/commit/{'a' * 40}"
            return self.answer({"commitUrl": where, "commitOid": "a" * 40, "hookOutput": ""})
        return self.answer({"url": f"{self.server.url}/me/small", "warnings": [], "errors": []})

    def answer(self, value, status=200):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def hub():
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        server.url, server.seen, server.files = f"http://127.0.0.1:{server.server_port}", [], {}
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def export(make_manifest):
    files = {
        "hf/config.json": b"{}", "hf/README.md": b"---\nlicense: mit\n---\n# small\n", "gguf/small-f32.gguf": b"GGUF",
        "MODEL_CARD.md": b"# small\n",
    }  # fmt: skip
    return make_manifest("export/small", "abovo/export/1", files)


def push(hub, export, token, tmp_path):
    output, log = tmp_path / "pushed.json", tmp_path / "push.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")} | ({"HF_TOKEN": token} if token else {})
    command = [sys.executable, SCRIPT, "--settings", '{"repository": "me/small"}', "--export", str(export.path)]
    command += ["--output", str(output), "--log", str(log)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    written = [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(TOKEN in text or (token or TOKEN) in text for text in [done.stdout, done.stderr, *written])
    return done, output


@pytest.mark.slow
def test_push_puts_the_folder_at_the_root_and_gguf_below(hub, export, tmp_path):
    done, output = push(hub, export, TOKEN, tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(hub.files) == {"config.json", "README.md", "gguf/small-f32.gguf"}
    assert hub.files["gguf/small-f32.gguf"] == b"GGUF"
    assert json.loads(output.read_text())["measured"] == {"commit": "a" * 40}
    assert any("/commit/" in path for path, _ in hub.seen)


@pytest.mark.slow
def test_refused_push_is_one_line(hub, export, tmp_path):
    done, output = push(hub, export, "hf_wrongWRONGwrongWRONG", tmp_path)
    assert done.returncode == 1 and not output.exists()
    assert done.stderr.splitlines()[-1].startswith("error: repository me/small: the hub did not take it: ")


def test_push_without_a_token_asks_nobody(hub, export, tmp_path):
    done, output = push(hub, export, None, tmp_path)
    assert done.returncode == 1 and not output.exists() and not hub.seen
    assert "HF_TOKEN is not set" in done.stderr and Path(export.path).is_file()
