"""Serve a model on this machine: a chat page, and the protocol that OpenAI's clients speak.

python workflow/tools/serve.py --run nano --stage sft --port 8000
ABOVO_TOKEN=secret python workflow/tools/serve.py --model ~/models/any-hugging-face-folder --host 0.0.0.0
"""

import argparse
import os

from abovo.console.launch import run, script_parser
from abovo.serving.find import add_model_arguments


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    add_model_arguments(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: 8000)")
    parser.add_argument("--open", action="store_true", help="let others ask without a token (ABOVO_TOKEN)")
    parser.add_argument("--slots", type=int, help="requests that are answered at once (default: 2)")
    parser.add_argument("--queue", type=int, help="requests that wait for a slot (default: 64)")
    parser.add_argument("--patience", type=float, help="longest wait for a slot (s; default: 60)")
    parser.add_argument("--tokens", type=int, help="longest answer (tokens; default: 1024)")
    parser.add_argument("--body", type=int, help="longest body of a request (bytes; default: 1048576)")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.serving.bounds import Bounds
    from abovo.serving.find import find_model
    from abovo.serving.guard import check_place
    from abovo.settings.keys import build

    token = os.environ.get("ABOVO_TOKEN")
    check_place(options.host, options.port, token, options.open)
    given = {name: value for name in Bounds.__dataclass_fields__ if (value := getattr(options, name)) is not None}
    bounds = build(Bounds, given, "arguments")
    found = find_model(options.run, options.stage, options.model, options.results)
    # what is wrong with the call is told before torch is there
    from abovo.serving.model import open_chat
    from abovo.serving.server import serve

    serve(open_chat(found, options.context, options.precision), options.host, options.port, bounds, token)


if __name__ == "__main__":
    run(main, arguments())
