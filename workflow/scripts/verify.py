"""Hash all files of a chain of manifests again and name each broken link, one line each; nothing is written.

python workflow/scripts/verify.py results/sft/nano/results.json
python workflow/scripts/verify.py results/pretrain/nano/manifest.json results/packed/nano/nano-4k/256/manifest.json

Ends with status 0 and one line where all is sound, else with status 1.
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("manifests", nargs="+", type=Path, metavar="MANIFEST", help="manifests to start from")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.console.progress import several
    from abovo.provenance.verify import Verified

    verified = Verified()
    found = 0
    for error in verified.broken(options.manifests):
        print(error, flush=True)
        found += 1
    if found:
        raise SystemExit(1)
    seen = f"{several(verified.manifests, 'manifest')}, {several(verified.files, 'file')}, {verified.size / 1e6:.1f} MB"
    print(f"sound: {seen}")


if __name__ == "__main__":
    run(main, arguments())
