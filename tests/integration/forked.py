"""Dry runs of Snakemake in forks of one process that has imported it: half of the time of a dry run is its imports.

A fork gets folder, environment and command line of its own, and ends as a process of Snakemake does. The server reads
requests from its input, a JSON object on each line, and answers each with the status of its fork.
"""

import atexit
import importlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

_lock = threading.Lock()
_servers: list[subprocess.Popen] = []


def run(words: list[str], folder: Path, environment: dict[str, str], output: Path) -> int:
    """The status of `snakemake` with these words; what it writes to either stream goes into `output`."""
    with _lock:
        if not _servers or _servers[0].poll() is not None:
            _servers[:] = [subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)]
            atexit.register(_servers[0].kill)
        server = _servers[0]
        request = {"words": words, "folder": str(folder), "environment": environment, "output": str(output)}
        server.stdin.write(json.dumps(request).encode() + b"\n")
        server.stdin.flush()
        return int(server.stdout.readline())


def serve() -> None:
    from snakemake import cli

    for name in ("snakemake_executor_plugin_slurm", "snakemake_executor_plugin_slurm_jobstep", "requests", "jinja2"):
        importlib.import_module(name)
    requests, answers = sys.stdin.buffer, os.dup(1)
    for line in iter(requests.readline, b""):
        asked = json.loads(line)
        child = os.fork()
        if not child:
            _become(asked)
            sys.exit(cli.main())
        _, status = os.waitpid(child, 0)
        os.write(answers, b"%d\n" % os.waitstatus_to_exitcode(status))


def _become(asked) -> None:
    """Take on what a process of Snakemake would have been started with."""
    output = os.open(asked["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    sys.argv = [str(Path(importlib.import_module("snakemake").__file__).with_name("__main__.py")), *asked["words"]]
    given = asked["environment"].get("PYTHONPATH", "")
    sys.path[0:1] = [asked["folder"], *filter(None, given.split(os.pathsep))]


if __name__ == "__main__":
    serve()
