"""Read one part of a source of a corpus: clean, filter and count its documents, and write their hashes.

python workflow/scripts/read_source.py --settings '{...}' --source speeches --part 0 \
    --plan results/corpora/nano/plan.json --output results/corpora/nano/sources/speeches/0/manifest.json
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser, settings


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--settings", required=True, type=settings, help="JSON text or file: the resolved corpus")
    parser.add_argument("--source", required=True, help="name of the source in the corpus")
    parser.add_argument("--part", type=int, default=0, help="which of the source's parts, from 0")
    parser.add_argument("--plan", required=True, type=Path, help="plan.json of the corpus")
    parser.add_argument("--tokenizer", type=Path, nargs="?", help="tokenizer_config.json of the corpus' count_with")
    parser.add_argument("--decontamination", type=Path, nargs="?", help="manifest.json of the indexed evaluation sets")
    parser.add_argument("--output", required=True, type=Path, help="manifest.json to write")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.corpus.check import check_corpus
    from abovo.corpus.decontaminate import open_decontaminator
    from abovo.corpus.read import read_source
    from abovo.provenance.code import Script
    from abovo.provenance.manifest import read_manifest
    from abovo.tokenizing.count import token_counter

    check_corpus(options.settings, "corpus")
    plan = read_manifest(options.plan, "abovo/corpus_plan/")
    count, inputs = token_counter(options.settings, options.tokenizer)
    decontaminator, more = open_decontaminator(options.settings, options.decontamination)
    read_source(
        options.settings, options.source, options.part, plan, count, {**inputs, **more}, options.output,
        Script(Path(__file__), options.settings), decontaminator,
    )  # fmt: skip


if __name__ == "__main__":
    run(main, arguments())
