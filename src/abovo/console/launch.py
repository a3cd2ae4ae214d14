"""Turn a script's `main` into a process: arguments in, log lines out, one clear line and status 1 on failure."""

import argparse
import atexit
import errno
import json
import logging
import os
import resource
import select
import shutil
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO, TypeVar

from abovo.console.job_log import JobLog
from abovo.console.progress import throw_away
from abovo.errors import AbovoError
from abovo.settings.keys import build
from abovo.settings.strict_yaml import read_yaml

log = logging.getLogger("abovo")
# as a shell reports a process that SIGPIPE ended
BROKEN_PIPE = 141
Settings = TypeVar("Settings")


def script_parser(docstring: str) -> argparse.ArgumentParser:
    """An argument parser whose help is the script's docstring and which knows `--log`."""
    parser = argparse.ArgumentParser(description=docstring, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, help="file that receives a copy of every log line")
    return parser


def settings(text: str) -> dict[str, Any]:
    """An argument type: a JSON object, or the path of a JSON or YAML file that holds one."""
    try:
        content = text if text.lstrip().startswith("{") else Path(text).read_text("utf-8")
        # JSON is no YAML everywhere: 1e-08 would be a string
        value = json.loads(content) if content.lstrip().startswith("{") else read_yaml(Path(text)).data
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"neither a JSON object nor a readable file: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("holds no keys")
    return value


def settings_as(kind: type[Settings]) -> Callable[[str], Settings]:
    """An argument type: the settings of a class, from JSON or a file as above, checked and with defaults filled in."""

    def parse(text: str) -> Settings:
        return build(kind, settings(text), "--settings" if text.lstrip().startswith("{") else text)

    return parse


def named_path(text: str) -> tuple[str, Path]:
    """An argument type: NAME=PATH, where what a file is cannot be told from the file, such as one corpus of several."""
    name, equals, path = text.partition("=")
    if not name or not equals or not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH")
    return name, Path(path)


def by_name(given: Sequence[tuple[str, Path]], where: str) -> dict[str, Path]:
    """What an argument of several NAME=PATH, which `where` names, says. Raises AbovoError for a name given twice."""
    names = [name for name, _ in given]
    if twice := [name for name in names if names.count(name) > 1]:
        raise AbovoError(f"names {twice[0]} twice", where, "give each path a name of its own")
    return dict(given)


def run(main: Callable[[argparse.Namespace], None], parser: argparse.ArgumentParser) -> None:
    """Parse the arguments, call `main` and end the process with its exit status.

    An AbovoError becomes one line on stderr and in the log file, and status 1. Anything unexpected leaves its
    traceback in the log file (on stderr where there is none) and one line on stderr, status 1 as well.
    """
    atexit.register(lambda: [_reader_left(stream) for stream in (sys.__stdout__, sys.__stderr__)])
    try:
        options = parser.parse_args()
    except AbovoError as error:
        parser.exit(1, f"error: {error}\n")
    _quiet_libraries()
    _set_up_logging(options.log)
    try:
        main(options)
        _leave(0)
    except AbovoError as error:
        log.error("error: %s", error)
        _leave(1)
    except SystemExit as stopped:
        _leave(stopped.code if isinstance(stopped.code, int) else 1)
    except KeyboardInterrupt:
        log.error("interrupted; the same command begins again")
        _leave(130)
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _reader_left(sys.__stdout__):
            _leave(BROKEN_PIPE)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            log.error("error: %s", _no_space(error, getattr(options, "output", None)))
        else:
            _unexpected(error, options.log)
        _leave(1)
    except Exception as error:
        _unexpected(error, options.log)
        _leave(1)
    finally:
        logging.shutdown()


def _leave(status: int) -> None:
    """End the process; one of a group of processes without clean-up, which would wait for the others or for itself."""
    distributed = sys.modules.get("torch.distributed")
    joined = distributed and distributed.is_available() and distributed.is_initialized()
    if joined or int(os.environ.get("WORLD_SIZE", "1")) > 1:
        logging.shutdown()
        sys.stdout.flush()
        os._exit(status)
    if status:
        sys.exit(status)


def _reader_left(stream: TextIO | None) -> bool:
    """Whether nobody reads a stream any more, as `head` or a pager leaves, or a lost connection; what is to come is
    thrown away."""
    if stream is None:
        return False
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    left = any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    if left:
        throw_away(stream)
    return left


def _no_space(error: OSError, output: Path | None) -> AbovoError:
    """What a full disk, or a quota, means: the folder, what is free there and what the job had written."""
    named = [Path(error.filename).parent] if error.filename else [output.parent if output else Path()]
    if not error.filename:
        named.append(Path(tempfile.gettempdir()))
    folder = min(filter(Path.is_dir, named), key=lambda place: shutil.disk_usage(place).free, default=Path())
    why = "the quota is used up" if error.errno == errno.EDQUOT else "no space left on the device"
    free = f"{shutil.disk_usage(folder).free / 1e6:,.1f} MB are free"
    written = resource.getrusage(resource.RUSAGE_SELF).ru_oublock * 512
    needed = f", the job had written {written / 1e6:,.1f} MB" if written else ""
    return AbovoError(f"{why} ({free}{needed})", folder, "make space and start again; a plan says what a run needs")


def _quiet_libraries() -> None:
    """Keep progress bars and advice of libraries off the screen, where they would drown the lines that matter."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore", category=FutureWarning)


def _set_up_logging(path: Path | None) -> None:
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    # of several processes that a launcher started, the first one speaks; the others tell errors only
    leads = os.environ.get("RANK", "0") == "0"
    if path is not None and leads:
        handlers.append(JobLog(path))
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
    log.setLevel(logging.INFO if leads else logging.ERROR)
    log.propagate = False


def _lost_another(error: BaseException) -> bool:
    """Whether a process of several fails only because another one is gone, which says why itself."""
    words = ("closed by peer", "reset by peer", "remote process exited")
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and any(word in str(error) for word in words)


def _unexpected(error: BaseException, path: Path | None) -> None:
    if _lost_another(error):
        log.error("error: process %s lost another one of the run, and ends", os.environ.get("RANK"))
        return
    if path is None:
        traceback.print_exc()
    else:
        for handler in log.handlers:
            handler.flush()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            traceback.print_exc(file=file)
    place = f"; the traceback is in {path}" if path else ""
    log.error("error: unexpected %s: %s%s", type(error).__name__, " ".join(str(error).split())[:300], place)
