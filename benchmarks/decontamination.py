"""Plant passages of evaluation sets in documents, clean them, and print what was found, what was lost and how fast.

python benchmarks/decontamination.py --input FOLDER [FOLDER ...] --set boolq=FILE:question,passage [--set ...]
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

SCRIPT = Path(__file__)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, nargs="+", required=True, help="folders of .jsonl.zst, .parquet, .txt")
    parser.add_argument("--set", action="append", required=True, help="NAME=FILE:COLUMN,COLUMN; the first is planted")
    parser.add_argument("--planted", type=int, default=100, help="documents that get a passage (default: 100)")
    parser.add_argument("--action", choices=("remove", "cut"), default="remove")
    parser.add_argument("--least-ngrams", type=int, default=8, help="1: every 13 words in common count (default: 8)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", type=Path, help="file for what was found: one JSON object per document")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    from texts import texts

    from abovo.corpus.clean import clean
    from abovo.corpus.decontaminate import Decontaminator, index_evaluation_sets, overlap
    from abovo.corpus.sources import open_rows
    from abovo.settings.decontamination import Decontamination, EvaluationSet
    from abovo.settings.keys import build

    rule = {"ngram": 13, "least_ngrams": options.least_ngrams, "least_share": 0.1}
    sets = {}
    for given in options.set:
        name, _, rest = given.partition("=")
        path, _, columns = rest.rpartition(":")
        sets[name] = {"type": "local", "paths": path, "columns": columns.split(","), "tasks": []}
    with tempfile.TemporaryDirectory() as folder:
        index = index_evaluation_sets(
            build(Decontamination, {**rule, "sets": sets}), Path(folder) / "index/manifest.json", SCRIPT
        )
        judge = Decontaminator(index, options.action)
        first = next(iter(sets))
        rows = [row.values for row in open_rows(build(EvaluationSet, sets[first])).read()]
        documents = [clean(text, "prose")[0] for path in options.input for text in texts(path)]
        documents = [text for text in documents if len(text) >= 200]
        draw = random.Random(options.seed)
        places = draw.sample(range(len(documents)), options.planted)
        chosen = dict(zip(places, draw.sample(rows, options.planted), strict=True))
        before, after, removed, found = Path(folder) / "before", Path(folder) / "after", [], 0
        size, started = 0, time.process_time()
        with before.open("w") as file, after.open("w") as rest:
            for number, text in enumerate(documents):
                if number in chosen:
                    passage = max((str(value) for value in chosen[number].values()), key=len)
                    at = len(text) // 2
                    text = f"{text[:at]}\n\n{passage}\n\n{text[at:]}"
                size += len(text.encode())
                left, hit = judge.apply(text)
                if hit:
                    file.write(json.dumps({"document": number, **hit}) + "\n")
                    found += number in chosen
                    removed += [] if number in chosen else [hit]
                if hit and left:
                    again = judge.apply(left)[1]
                    if again:
                        rest.write(json.dumps(again) + "\n")
        spent = time.process_time() - started
        clean_documents = len(documents) - options.planted
        print(f"documents                 {len(documents):,}, {size / 1e6:.1f} MB")
        print(f"index                     {index['counts']['ngrams']:,} n-grams of {index['counts']['rows']:,} rows")
        print(f"planted and found         {found} of {options.planted}")
        print(f"others removed            {len(removed)} of {clean_documents:,} ({len(removed) / clean_documents:.3%})")
        print(f"speed                     {size / 1e6 / spent:.1f} MB per CPU-second")
        earlier, later = overlap(index, [before]), overlap(index, [after])
        print(f"{'set':<14}{'rows':>8}{'in corpus before':>18}{'after':>8}")
        for name, one in earlier.items():
            print(f"{name:<14}{one['rows']:>8,}{one['rows_touched']:>18,}{later[name]['rows_touched']:>8,}")
        for ngram, number in Counter(hit["ngram"] for hit in removed).most_common(12):
            print(f"  {number} x {ngram}")
        if options.list:
            options.list.write_bytes(before.read_bytes())


if __name__ == "__main__":
    main()
