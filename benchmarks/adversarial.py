"""Time every step that looks at text on strings that make slow patterns slow, against plain text of the same size.

python benchmarks/adversarial.py                      # 1 MB of each string: the slowest step of each, and its ratio
python benchmarks/adversarial.py --mb 0.03 --all      # every step; where a step takes the square of the size: smaller

A ratio is the processor time of a step on the string over that of the same step on plain text, or over that of
cleaning the plain text where the step takes less than that.
"""

import argparse
import functools
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "src"), str(Path(__file__).resolve().parent)]

from abovo.corpus.clean import clean  # noqa: E402
from abovo.corpus.docstrings import docstrings  # noqa: E402
from abovo.corpus.filters import FILTERS  # noqa: E402
from abovo.corpus.minhash import bands_of  # noqa: E402
from abovo.corpus.ngrams import PlainWords  # noqa: E402
from abovo.corpus.traits import Figures, figures  # noqa: E402
from abovo.corpus.words import words_of  # noqa: E402
from abovo.facts.functions import summary_of  # noqa: E402
from abovo.facts.speech import sentences  # noqa: E402
from abovo.settings.corpus import Cleaning, Near  # noqa: E402
from abovo.settings.thresholds import Thresholds  # noqa: E402

MB = 1 << 20
Step = Callable[[str], object]
# Strings by name: (before, what is repeated, after).
STRINGS: dict[str, tuple[str, str, str]] = {
    "blanks before a newline": ("a", " ", "\nb"),
    "blanks within a line": ("a", " ", "b"),
    "blanks after others before a newline": ("a" + " " * 9 + "\n", " ", "b"),
    "blanks and tabs before a newline": ("a", " \t", "\nb"),
    "blanks and tabs within a line": ("a\n", "\t ", "b"),
    "lines of blanks": ("a", "  \t \n", "b"),
    "newlines": ("a", "\n", "b"),
    "marks of two classes in turn": ("a", "\u0301\u0323", "b"),
    "marks made of marks": ("a", "\u0f73\u0344", "b"),
    "letters, each with many marks": ("", "e" + "\u0301\u0323\u0345" * 20, ""),
    "invisible characters": ("a", "\u00ad\u200b\u200d\ufe0f", "b"),
    "letters that stand for many": ("", "\ufdfa", ""),
    "full-width letters": ("", "\uff21\uff42\uff43\u3000", ""),
    "a mailbox without end": ("", "a.", "@"),
    "a host without end": ("a.a.a@", "a.", "1"),
    "signs of mailboxes": ("", "@a.bc ", ""),
    "addresses": ("", "http://www.", ""),
    "runs of marks": ("", "!!!???...---\\\\\\", ""),
    "asterisks": ("\n", "*", "\n"),
    "starts of a book": ("Gutenberg ", "*** START OF THE PROJECT GUTENBERG EBOOK ", ""),
    "ends of a book": ("Gutenberg ", "*** END OF THE PROJECT GUTENBERG EBOOK ", ""),
    "credits": ("Project Gutenberg\n*END*THE SMALL PRINT!\n" + "\t", "Produced by\n", ""),
    "wrong encoding": ("", "Ã\u00adÂ\u00a0â€™Ã", ""),
    "one word": ("", "a", ""),
    "one sentence": ("", "A b. ", ""),
    "quotes": ('def f():\n    """', "' ", '"""'),
    "minus signs": ('def f(a="""b""", c=', "-", "1): pass"),
    "parentheses": ('def f(a="""b"""', "(", ""),
    "control characters": ("a", "\x00\x0c\r\x85", "b"),
    "lone surrogates": ("a", "\ud800", "b"),
}  # fmt: skip

# What stands between stretches of plain text.
NOW_AND_THEN = "  \n\n\n\n\ncafÃ© e\u0301 \u00bd\u2026\u00ad  a@b.org www.a.org http://a.org ------ \n"


def strings(size: int) -> Iterator[tuple[str, str]]:
    """(name, text) of all strings, about `size` bytes each."""
    for name, (before, repeated, after) in STRINGS.items():
        yield name, before + repeated * (size // len(repeated.encode("utf-8", "surrogatepass"))) + after
    # Most different characters that are no letters: private ones have four bytes each.
    yield "no character twice", "".join(map(chr, range(0xF0000, 0xF0000 + min(size // 4, 0x1FFFE))))


def plain(size: int) -> str:
    """Speeches, one after the other, `size` characters; every step finds something to do now and then."""
    import texts

    found: list[str] = []
    for _, text in texts.speeches():
        found += text.splitlines()
        if sum(map(len, found)) >= size:
            break
    return NOW_AND_THEN.join("\n".join(found[at : at + 20]) for at in range(0, len(found), 20))[:size]


@functools.lru_cache(1)
def _document(text: str) -> Figures:
    """What filters go by, once for all of them."""
    return figures([text], words_of([text.encode()]), "en", Thresholds())[0]


def steps() -> dict[str, Step]:
    """Steps by name: text as it is found, or cleaned text, goes in."""
    options = {
        "repair_encoding": True, "strip_gutenberg": True, "remove_urls": True, "remove_emails": True,
        "longest_mark_run": 4,
    }  # fmt: skip
    none = dict.fromkeys(options, False) | {"longest_mark_run": 0}
    made: dict[str, Step] = {f"clean, {kind}": lambda text, kind=kind: clean(text, kind) for kind in ("prose", "code")}
    for name, value in options.items():
        how = Cleaning(**(none | {name: value}))
        made[f"clean, {name}"] = lambda text, how=how: clean(text, "code", how)
    near = Near()
    return made | {
        "words and sketch": lambda text: bands_of(words_of([text.encode()]), np.zeros(1, np.uint64), near),
        "n-grams": lambda text: PlainWords(text).hashes(13),
        "figures": _document,
        "docstrings": lambda text: list(docstrings("a/b.py", text, {})),
        "summary of a docstring": summary_of,
        "sentences": sentences,
    } | {
        f"filter {name}": lambda text, name=name: FILTERS[name](_document(text), Thresholds()) for name in FILTERS
    }  # fmt: skip


def spent(step: Step, text: str, tries: int = 1) -> float:
    """CPU-seconds, the least of some tries."""
    best = float("inf")
    for _ in range(tries):
        started = time.process_time()
        step(text)
        best = min(best, time.process_time() - started)
    return best


def ready(name: str, text: str) -> str:
    """What a step gets: lone surrogates are for cleaning alone."""
    return text if name.startswith("clean") else text.encode("utf-8", "ignore").decode()


def units(made: dict[str, Step], size: int) -> dict[str, float]:
    """CPU-seconds of each step on plain text, those of cleaning it at least."""
    text = plain(size)
    least = spent(made["clean, prose"], text, 5)
    return {name: max(least, spent(step, text, 3)) for name, step in made.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=float, default=1, help="size of each string (MB, default: 1)")
    parser.add_argument("--all", action="store_true", help="every step, not the slowest of each string alone")
    options = parser.parse_args()
    made, size = steps(), round(options.mb * MB)
    unit = units(made, size)
    print(f"{'string':<38}{'step':<26}{'ms':>10}{'ratio':>9}")
    for name, text in strings(size):
        found = [(spent(step, ready(what, text)), what) for what, step in made.items()]
        ranked = sorted(((seconds / unit[what], seconds, what) for seconds, what in found), reverse=True)
        for ratio, seconds, what in itertools.islice(ranked, None if options.all else 1):
            print(f"{name:<38}{what:<26}{seconds * 1e3:>10.1f}{ratio:>9.1f}", flush=True)


if __name__ == "__main__":
    main()
