"""Chromium without a screen, driven by its own protocol over two pipes, so that no other package is needed."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import time

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
           "--remote-debugging-pipe")  # fmt: skip


class Browser:
    """A page at `url`."""

    def __init__(self, url, profile, width=900, height=700):
        read, self.out = os.pipe()
        self.back, write = os.pipe()
        high = [fcntl.fcntl(one, fcntl.F_DUPFD, 100) for one in (read, write)]

        def place():
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        command = [PROGRAM, *OPTIONS, f"--user-data-dir={profile}", f"--window-size={width},{height}"]
        self.process = subprocess.Popen(
            command, pass_fds=(3, 4), preexec_fn=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for one in (read, write, *high):
            os.close(one)
        self.number, self.held, self.session = 0, b"", None
        target = self.tell("Target.createTarget", url=url)["targetId"]
        self.session = self.tell("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.until("location.href !== 'about:blank' && document.readyState === 'complete'")

    def tell(self, method, **params):
        """What a command of the protocol gives back."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.held:
                piece = os.read(self.back, 1 << 16)
                assert piece, "the browser ended"
                self.held += piece
            one, _, self.held = self.held.partition(b"\0")
            found = json.loads(one)
            if found.get("id") == self.number:
                assert "error" not in found, found
                return found["result"]

    def value(self, script):
        """What an expression of the page's script is."""
        found = self.tell("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, script, seconds=60):
        """Wait until an expression is true."""
        ends = time.monotonic() + seconds
        while not self.value(script):
            assert time.monotonic() < ends, f"never true: {script}\n{self.value('document.body.innerText')}"
            time.sleep(0.1)

    def type(self, text):
        """Type a text and Enter where the cursor is."""
        self.tell("Input.insertText", text=text)
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
        self.tell("Input.dispatchKeyEvent", type="keyDown", **key)
        self.tell("Input.dispatchKeyEvent", type="keyUp", **key)

    def picture(self, path):
        path.write_bytes(base64.b64decode(self.tell("Page.captureScreenshot", format="png")["data"]))

    def end(self):
        self.process.terminate()
        self.process.wait(20)
        os.close(self.out)
        os.close(self.back)
