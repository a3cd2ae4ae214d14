"""Decide which documents are text worth keeping: the table of filters, with the figures of Gopher as defaults.

The figures are those of Rae et al. 2021, arXiv:2112.11446, appendix A1.1, for source code those of Chen et al. 2021,
arXiv:2107.03374, 3.1, with the share of letters and digits that BigCode's basic filter for The Stack has
(github.com/bigcode-project/bigcode-dataset); they are the defaults of a corpus' `thresholds`.
A document is refused for the first filter that it does not pass, in the order of the table.
"""

from collections.abc import Callable, Iterable, Sequence

from abovo.corpus.traits import Figures, figures
from abovo.corpus.words import Words
from abovo.provenance.tables import Table
from abovo.settings.thresholds import Thresholds

# name, also the reason of a rejection -> whether a document passes; some names stand for several filters. Gopher looks
# at words with a letter, not at letters, and has no limit on different words and no language.
FILTERS: Table[Callable[[Figures, Thresholds], bool]] = Table(
    {
        "words": "abovo.corpus.criteria:words",
        "word_length": "abovo.corpus.criteria:word_length",
        "symbols": "abovo.corpus.criteria:symbols",
        "line_marks": "abovo.corpus.criteria:line_marks",
        "alphabetic": "abovo.corpus.criteria:alphabetic",
        "letters": "abovo.corpus.criteria:letters",
        "stop_words": "abovo.corpus.criteria:stop_words",
        "unique_words": "abovo.corpus.criteria:unique_words",
        "repeated_lines": "abovo.corpus.criteria:repeated_lines",
        "repeated_words": "abovo.corpus.criteria:repeated_words",
        "language": "abovo.corpus.criteria:language",
        "line_length": "abovo.corpus.criteria:line_length",
        "alphanumeric": "abovo.corpus.criteria:alphanumeric",
        "generated": "abovo.corpus.criteria:generated",
    },
    chosen_by="sources.*.filters",
    groups={
        "gopher": (
            "words", "word_length", "symbols", "line_marks", "alphabetic", "stop_words", "repeated_lines",
            "repeated_words",
        ),
        "all": (
            "words", "word_length", "symbols", "line_marks", "alphabetic", "letters", "stop_words", "unique_words",
            "repeated_lines", "repeated_words", "language",
        ),
        "code": ("line_length", "alphanumeric", "generated"),
    },
)  # fmt: skip


def chosen(names: Iterable[str]) -> list[str]:
    """The filters that a source names, groups resolved, in the table's order."""
    wanted = {name for given in names for name in FILTERS.groups.get(given, (given,))}
    return [name for name in FILTERS if name in wanted]


def refusals(texts: Sequence[str], words: Words, names: Sequence[str], language: str, limits: Thresholds) -> list[str]:
    """For each text the name of the first filter that refuses it, "" where all pass."""
    passes = {name: FILTERS[name] for name in names}
    return [
        next((name for name, passed in passes.items() if not passed(document, limits)), "")
        for document in figures(texts, words, language, limits)
    ]
