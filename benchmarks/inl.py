"""Compare the INL family with a transformer of equal parameters on nano's text: tuned trials, probes, and a report.

snakemake --cores 2 results/packed/nano/nano-4k/256/manifest.json    # the text
python benchmarks/inl.py trials                                      # an hour and a half on one core; goes on if stopped
python benchmarks/inl.py trials --quick                              # the same, of two batches each, to see that it runs
"""

import argparse
import sys
import tempfile
from pathlib import Path

from inl_trials import Study, with_held_out
from trained import Runs

PACKED, TOKENIZER = "packed/nano/nano-4k/256/manifest.json", "tokenizers/nano-4k/tokenizer_config.json"
# Of the held-out rows of each source, what rates are tuned on and what is reported (shares)
PARTS = (("tuning", 0.0, 0.25), ("reported", 0.25, 1.0))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("trials",))
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder with nano's text (default: results)")
    parser.add_argument("--tuning-tokens", type=int, default=102_400, help="of each tuning trial (default: 102,400)")
    parser.add_argument("--tokens", type=int, default=204_800, help="of each trial at equal tokens (default: 204,800)")
    parser.add_argument("--nice", type=int, default=10, help="how far trials stand back for others (default: 10)")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "abovo-benchmark-inl")
    return parser.parse_args()


def study_of(options: argparse.Namespace, train: bool) -> Study:
    packed, tokenizer = options.results / PACKED, options.results / TOKENIZER
    if not packed.exists():
        sys.exit(f"{packed} is missing; make it: snakemake --cores 2 results/{PACKED}")
    parts = {name: with_held_out(packed, first, end, options.work / name / "manifest.json") for name, first, end in PARTS}
    tuning, reported = (
        Runs(options.work, tokenizer.resolve(), part.resolve(), together=1, nice=options.nice, outcomes=True)
        for part in parts.values()
    )
    return Study(tuning, reported, options.tuning_tokens, options.tokens, train)


def main() -> None:
    options = arguments()
    study = study_of(options, True)
    for name, choice in study.choices().items():
        print(name, choice, flush=True)
    for trial, result in study.results().items():
        print(trial, result.get("validation_loss"), flush=True)


if __name__ == "__main__":
    main()
