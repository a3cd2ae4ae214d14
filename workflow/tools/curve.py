"""Draw the loss of a training from its metrics, and print it at 1, 5, 10, 50 and 100 % of the tokens.

python workflow/tools/curve.py docs/reference-runs/tiny.jsonl --vocabulary-size 32768 \
    --title "tiny, 600M tokens" --output docs/reference-runs/tiny.svg
"""

import argparse
import json
from pathlib import Path

from abovo.console.launch import run, script_parser


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("metrics", type=Path, help="a metrics.jsonl, of a training under way too")
    parser.add_argument("--vocabulary-size", type=int, help="adds the loss of a guess that knows nothing, ln of it")
    parser.add_argument("--title", default="", help="stands above the figure")
    parser.add_argument("--output", type=Path, help="the figure, an .svg; default: only the table")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.errors import AbovoError
    from abovo.reporting.curve import table

    try:
        rows = [json.loads(line) for line in options.metrics.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise AbovoError(f"cannot be read: {error}", options.metrics, "name a metrics.jsonl") from error
    print(*table(rows), sep="\n")
    if options.output:
        from abovo.reporting.figures import draw_loss

        draw_loss(rows, options.vocabulary_size, {}, options.title, options.output)


if __name__ == "__main__":
    run(main, arguments())
