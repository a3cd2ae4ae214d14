"""What the filters of a corpus' sources go by: config/corpora/, key thresholds."""

from dataclasses import dataclass

from abovo.settings.keys import key


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What the filters of sources go by; defaults of Gopher (arXiv:2112.11446, A1.1) unless said otherwise."""

    min_words: int = key("Fewest words (filter words)", default=50, minimum=0)
    max_words: int = key("Most words (filter words)", default=100000, minimum=1)
    min_mean_word_length: float = key(
        "Shortest mean length of a word (characters; filter word_length)", default=3, minimum=0
    )
    max_mean_word_length: float = key(
        "Longest mean length of a word (characters; filter word_length)", default=10, minimum=1
    )
    max_symbols: float = key("Most hash signs and ellipses per word (filter symbols)", default=0.1, minimum=0)
    max_bullet_lines: float = key(
        "Largest share of lines that begin with a bullet (filter line_marks)", default=0.9, minimum=0, maximum=1
    )
    max_ellipsis_lines: float = key(
        "Largest share of lines that end with an ellipsis (filter line_marks)", default=0.3, minimum=0, maximum=1
    )
    min_letters: float = key(
        "Smallest share of letters and blanks among all characters (filter letters; not Gopher's)",
        default=0.7, minimum=0, maximum=1,
    )  # fmt: skip
    min_alphabetic_words: float = key(
        "Smallest share of words with a letter (filter alphabetic)", default=0.8, minimum=0, maximum=1
    )
    min_stop_words: int = key(
        "Fewest of the, be, to, of, and, that, have, with (filter stop_words; English only)",
        default=2, minimum=0, maximum=8,
    )  # fmt: skip
    min_unique_words: float = key(
        "Smallest share of different words among all (filter unique_words; not Gopher's)",
        default=0.1, minimum=0, maximum=1,
    )  # fmt: skip
    max_repeated_lines: float = key(
        "Largest share of lines that stand earlier in the document (filter repeated_lines)",
        default=0.3, minimum=0, maximum=1,
    )  # fmt: skip
    max_repeated_lines_text: float = key(
        "Largest share of the text in such lines (filter repeated_lines)", default=0.2, minimum=0, maximum=1
    )
    max_repeated_paragraphs: float = key(
        "Largest share of paragraphs that stand earlier in the document (filter repeated_lines)",
        default=0.3, minimum=0, maximum=1,
    )  # fmt: skip
    max_repeated_paragraphs_text: float = key(
        "Largest share of the text in such paragraphs (filter repeated_lines)", default=0.2, minimum=0, maximum=1
    )
    max_top_ngrams: tuple[float, float, float] = key(
        "Largest share of the text in its most frequent run of 2, 3, 4 words (filter repeated_words)",
        default=(0.2, 0.18, 0.16),
    )
    max_repeated_ngrams: tuple[float, float, float, float, float, float] = key(
        "Largest share of the text in later copies of runs of 5 to 10 words (filter repeated_words)",
        default=(0.15, 0.14, 0.13, 0.12, 0.11, 0.1),
    )
    language_score: float = key(
        "Smallest probability of the source's language (filter language; not Gopher's)",
        default=0.65, minimum=0, maximum=1,
    )  # fmt: skip
    max_mean_line: float = key(
        "Longest mean length of a line (characters; filter line_length; arXiv:2107.03374, 3.1)", default=100, minimum=1
    )
    max_line: int = key("Longest line (characters; filter line_length; arXiv:2107.03374, 3.1)", default=1000, minimum=1)
    min_alphanumeric: float = key(
        "Smallest share of letters and digits among all characters (filter alphanumeric; basic filter of The Stack)",
        default=0.25, minimum=0, maximum=1,
    )  # fmt: skip
