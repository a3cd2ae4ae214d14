"""A server of this project as a process of its own, on a free port of this machine, and requests to it."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

CONTEXT = 4096


def with_room(small, folder):
    """A copy of a model's folder whose context is long enough for answers that take seconds."""
    shutil.copytree(small, folder, copy_function=shutil.copy)
    for name, key in (("config.json", "max_position_embeddings"), ("tokenizer_config.json", "model_max_length")):
        path = folder / name
        path.chmod(0o644)
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: CONTEXT}))
    return folder


class Served:
    """The process; `lines` are those that it told, `url` is where it listens."""

    def __init__(self, model, *options, **environment):
        command = [sys.executable, "workflow/tools/serve.py", "--model", str(model), "--port", "0", *options]
        given = os.environ | {"OMP_NUM_THREADS": "1"} | environment
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=given)
        self.lines, self.url, heard = [], "", threading.Event()

        def hear():
            for line in self.process.stderr:
                self.lines.append(line)
                if found := re.match(r"(http://\S+:\d+)/ is a chat page", line):
                    self.url = found[1]
                    heard.set()
            heard.set()

        threading.Thread(target=hear, daemon=True).start()
        heard.wait(180)
        assert self.url, "".join(self.lines)

    @property
    def port(self):
        return int(self.url.rpartition(":")[2])

    def ask(self, path, body=None, **headers):
        """(status, what was answered, headers)."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, {**kind, **headers})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, json.loads(answer.read()), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read()), error.headers

    def idle(self, seconds=20):
        """Whether nothing is written any more, within so many seconds."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            state = self.ask("/health")[1]
            if (state["active"], state["waiting"]) == (0, 0):
                return True
            time.sleep(0.05)
        return False

    def end(self):
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        self.process.kill()
        self.process.wait()
