"""Print what the filters refuse of the standard library of this Python, and what cleaning changes in it.

python benchmarks/source_code.py
"""

import sys
import sysconfig
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from abovo.corpus.clean import clean
from abovo.corpus.filters import chosen, refusals
from abovo.corpus.words import words_of
from abovo.settings.corpus import Cleaning
from abovo.settings.thresholds import Thresholds

# Shorter files are no sample of what a filter does (characters)
SHORTEST = 100


def main() -> None:
    """The tables; files that are not UTF-8, or hold nothing but blanks, are counted apart."""
    library = Path(sysconfig.get_path("stdlib"))
    files = [path for path in sorted(library.rglob("*.py")) if "site-packages" not in path.parts]
    texts, undecoded, size = [], 0, 0
    for path in files:
        raw = path.read_bytes()
        size += len(raw)
        try:
            texts.append(raw.decode())
        except UnicodeDecodeError:
            undecoded += 1
    held = [text for text in texts if text.strip()]
    print(f"{sys.version.split()[0]}: {len(files):,} files, {size / 1e6:.1f} MB, {undecoded} not UTF-8,", end=" ")
    print(f"{len(texts) - len(held)} hold nothing")
    for kind in ("code", "verbatim"):
        cleaned = [clean(text, kind, Cleaning(repair_encoding=False))[0] for text in held]
        whole = sum(new == old for new, old in zip(cleaned, held, strict=True))
        ends = sum(new == old.rstrip("\n") != old for new, old in zip(cleaned, held, strict=True))
        print(f"kind {kind}: {whole:,} as they were, {ends:,} but for their last newlines, of {len(held):,}")
    long_enough = [text for text in held if len(text) >= SHORTEST]
    for group in ("gopher", "code"):
        names = chosen([group])
        found = Counter(
            refusals([text], words_of([text.encode()]), names, "en", Thresholds())[0] for text in long_enough
        )
        kept = found.pop("", 0)
        told = ", ".join(f"{name} {number}" for name, number in found.most_common())
        print(f"{group}: refuses {len(long_enough) - kept:,} of {len(long_enough):,} ({told})")


if __name__ == "__main__":
    main()
