"""Say what may stand in a kind of config file: each key with its meaning, whether it is required, and its default.

python workflow/tools/keys.py corpora
python workflow/tools/keys.py instruction
"""

import argparse

from abovo.console.launch import run, script_parser


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("kind", help="a folder of config/, such as runs, corpora, training or instruction")
    parser.add_argument("--family", default="qwen3", help="of models: the family, which has keys of its own")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.config.load import KINDS, class_of
    from abovo.errors import AbovoError
    from abovo.settings.describe import key_lines

    if options.kind not in KINDS:
        raise AbovoError(f"there is no kind {options.kind!r}", "KIND", f"use one of {', '.join(KINDS)}")
    print(*key_lines(class_of(options.kind, {"family": options.family}, "--family")), sep="\n")


if __name__ == "__main__":
    run(main, arguments())
