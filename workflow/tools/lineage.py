"""Say which documents lie in a row of train.bin or val.bin: source, revision, id, position, decisions of the filters.

python workflow/tools/lineage.py --packed results/packed/nano/nano-4k/256/manifest.json --split train --row 17
python workflow/tools/lineage.py --packed results/packed/nano/nano-4k/256/manifest.json --split val --row 0 --token 9
"""

import argparse
import json
from pathlib import Path

from abovo.console.launch import run, script_parser


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--packed", required=True, type=Path, help="manifest.json of the rows")
    parser.add_argument("--corpus", type=Path, help="manifest.json of the corpus (default: the one in the manifest)")
    parser.add_argument("--split", choices=("train", "val"), default="train", help="which bin (default: train)")
    parser.add_argument("--row", required=True, type=int, help="number of the row, from 0")
    parser.add_argument("--token", type=int, help="number of an id in the row, from 0 (default: the whole row)")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.packing.lineage import trace
    from abovo.provenance.chain import Chain
    from abovo.provenance.manifest import read_manifest

    packed = read_manifest(options.packed, "abovo/packed/")
    corpus = read_manifest(options.corpus, "abovo/corpus/") if options.corpus else Chain().input(packed, "corpus")
    print(json.dumps(trace(packed, corpus, options.split, options.row, options.token), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    run(main, arguments())
