"""What is looked at of a corpus before a model trains on it, and from where on it is refused."""

from dataclasses import dataclass

from abovo.settings.keys import key


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What is told of each corpus before a model trains on it, and what is refused as empty or suspicious."""

    documents: int = key(
        "Documents of each corpus that are looked at, from its beginning, as their order is drawn (documents)",
        default=2000, minimum=1,
    )  # fmt: skip
    samples: int = key("Documents of each corpus that are shown (documents)", default=3, minimum=0, maximum=100)
    sample_characters: int = key("What is shown of a document (characters)", default=200, minimum=1, maximum=10_000)
    frequent_lines: int = key("Most frequent lines that are shown", default=3, minimum=0, maximum=100)
    min_documents: int = key("Fewest documents of a corpus (documents)", default=2, minimum=1)
    max_duplicates: float = key(
        "Largest share of the documents that were left out as equal or nearly equal to another (fraction)",
        default=0.9, minimum=0, maximum=1,
    )  # fmt: skip
    max_line: float = key(
        "Largest share of the lines of the documents that one line may make (fraction)",
        default=0.5, minimum=0, maximum=1,
    )  # fmt: skip
    min_letters: float = key(
        "Smallest share of letters and blanks among all characters (fraction)", default=0.5, minimum=0, maximum=1
    )
    min_language: float = key(
        "Smallest share of the text in the language that its source names (fraction); a source without is not asked",
        default=0.2, minimum=0, maximum=1,
    )  # fmt: skip
    max_unknown: float = key(
        "Largest share of pieces that the tokenizer does not know (fraction of tokens)",
        default=0.1, minimum=0, maximum=1,
    )  # fmt: skip
    max_byte_pieces: float = key(
        "Largest share of single bytes, which stand for characters that the tokenizer has no piece for (fraction of"
        " tokens)",
        default=0.5, minimum=0, maximum=1,
    )  # fmt: skip
    max_padding: float = key(
        "Largest share of padding in the training rows (fraction of ids)", default=0.9, minimum=0, maximum=1
    )
