"""Turn a packed text into the time that the pretraining script takes to its first step."""

import itertools
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from trained import CONFIG, ROOT, SCRIPT

PATIENCE = 120


def first_steps(tokenizer: Path, packed: Path, times: int) -> list[float]:
    """Seconds from the start of the pretraining script to the first optimizer step of nano, sorted."""
    from abovo.config.jobs import job_settings
    from abovo.config.runs import Configuration

    settings = job_settings(Configuration(CONFIG), "pretrain", {"run": "nano"})
    settings["phases"] = [{"name": "main", "corpora": {"benchmark": 1.0}, "share": 1.0}]
    found = []
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "settings.json"
            path.write_text(json.dumps(settings))
            state = Path(folder) / "state"
            command = [sys.executable, str(SCRIPT), "--settings", str(path), "--tokenizer", str(tokenizer)]
            command += ["--packed", str(packed), "--state", str(state), "--output", f"{folder}/model/manifest.json"]
            started = time.monotonic()
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            found.append(next(_until_written(state / "metrics.jsonl", process)) - started)
            process.send_signal(signal.SIGKILL)
            process.wait()
    return sorted(found)


def _until_written(path: Path, process: subprocess.Popen[bytes]) -> Iterator[float]:
    """The moment at which the metrics have a training row, that of step 1; the validation at step 0 is before it."""
    started = time.monotonic()
    for _ in itertools.count():
        if path.exists() and b'"loss"' in path.read_bytes():
            yield time.monotonic()
            return
        if process.poll() is not None or time.monotonic() - started > PATIENCE:
            sys.exit("the pretraining script ended, or stood still, before its first step")
        time.sleep(0.02)
