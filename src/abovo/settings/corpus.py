"""A mix of sources, cleaned, without duplicates, up to a budget of tokens: config/corpora/."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from abovo.settings.keys import key
from abovo.settings.place import Place
from abovo.settings.thresholds import Thresholds

Filter = Literal[
    "gopher", "all", "words", "word_length", "symbols", "line_marks", "letters", "alphabetic", "stop_words",
    "unique_words", "repeated_lines", "repeated_words", "language", "code", "line_length", "alphanumeric", "generated",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Near:
    """MinHash with bands: two documents are near-duplicates where they share a band."""

    permutations: int = key("Values of a sketch; a multiple of bands", default=112, minimum=1, maximum=1024)
    bands: int = key("Groups that the values are hashed in", default=14, minimum=1, maximum=64)
    shingle: int = key("Words in a row that count as one element", default=5, minimum=1, maximum=32)


@dataclass(frozen=True, kw_only=True)
class Deduplication:
    """How documents that are alike are found; equal texts always are."""

    near: Near | None = key(
        "MinHash with bands: two documents are near-duplicates where they share a band; null for equal texts alone",
        default=Near(),
    )
    memory_mb: float = key("Memory of a job that compares documents (MB)", default=512, minimum=16, maximum=1e6)
    jobs: int = key("Jobs that the comparison is spread over; changes no byte", default=1, minimum=1, maximum=256)


@dataclass(frozen=True, kw_only=True)
class Decontaminate:
    """What becomes of documents that share n-grams with evaluation sets."""

    against: str | None = key(
        "Evaluation sets (name in config/decontamination); null for none", default=None, refers="decontamination"
    )
    action: Literal["remove", "cut"] = key(
        "remove: the document goes; cut: the lines that are shared go, and what is left is filtered as usual",
        default="remove",
    )
    unchecked: Literal["block", "allow"] = key(
        "block: a run that is scored on a public task which no set of `against` lists does not start (corpora of"
        " packages are exempt)",
        default="block",
    )


@dataclass(frozen=True, kw_only=True)
class Cleaning:
    """What is done to the text beyond Unicode (NFC), control characters, line ends and blanks."""

    repair_encoding: bool = key(
        "Whether UTF-8 that was read in a wrong encoding is repaired (ftfy); quotes and ligatures stay", default=True
    )
    strip_gutenberg: bool = key("Whether Project Gutenberg's header and licence go", default=False)
    remove_urls: bool = key("Whether web addresses go", default=False)
    remove_emails: bool = key("Whether e-mail addresses go", default=False)
    longest_mark_run: int = key(
        "Most times that a mark (!?.-= and others) may follow itself; 0 for any", default=0, minimum=0, maximum=1000
    )


@dataclass(frozen=True, kw_only=True)
class Source(Place):
    """Where text comes from, and what is done to it."""

    type: Literal["package", "local", "huggingface"] = key("Where the text comes from")
    licence: str = key("Licence of the text; travels to manifests and model cards")
    language: str = key("Language of the text (BCP 47 code)")
    kind: Literal["prose", "code", "verbatim"] = key(
        "prose collapses runs of blanks within lines; code keeps them; verbatim, for files of source code, changes line"
        " ends alone, to newlines",
        default="prose",
    )
    take: Literal["first", "spread"] = key(
        "first: read in order and stop at the share; spread: read all and choose by hash", default="spread"
    )
    parts: int = key(
        "Jobs that the reading is spread over; changes no byte of the corpus", default=1, minimum=1, maximum=1024
    )
    cleaning: Cleaning = key(
        "What is done to the text beyond Unicode (NFC), control characters, line ends and blanks", default=Cleaning()
    )
    filters: tuple[Filter, ...] = key(
        "Filters of the source (gopher: its quality and repetition rules; all: every one for prose; code: those for"
        " source code); their figures stand in thresholds",
        default=(),
    )
    tokens: int | None = key("Budget of this source in place of its weight (tokens)", default=None, minimum=1)
    max_samples: int | None = key(
        "Highest number of documents read, before filters; in place of the corpus' own", default=None, minimum=1
    )
    reader: Literal["speeches", "docstrings", "readme"] = key(
        "What to read from the packages (type package)", default="readme"
    )
    packages: tuple[str, ...] = key("Installed packages, NAME or NAME==VERSION (type package)", default=())
    endings: tuple[str, ...] = key(
        "Endings of files that are read as text besides .txt, .raw and .md: py, rs, tex; of a folder these files alone"
        " are read then (types local and huggingface)",
        default=(), pattern="^[a-z0-9_+-]{1,16}$", unique=True,
    )  # fmt: skip
    documents: Literal["file", "paragraph", "line"] = key(
        "What a document is in a file of text (types local and huggingface); blank lines part paragraphs",
        default="file",
    )
    lines: int = key(
        "Lines, or paragraphs, in a row that make a document, with documents: line or paragraph",
        default=1, minimum=1, maximum=10**6,
    )  # fmt: skip
    column: str = key("Column or key that holds the text (types local and huggingface)", default="text")
    bad_records: Literal["stop", "count"] = key(
        "stop: a damaged record (not UTF-8, not JSON, no text) ends the job, named; count: it is refused and counted",
        default="stop",
    )
    max_record_mb: float = key(
        "Longer lines and texts are refused and counted (MB); bounds the memory of a job",
        default=16,
        above=0,
        maximum=1e5,
    )


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A mix of sources, cleaned, without duplicates, equal or near, up to a budget of tokens."""

    description: str = key("What the corpus is for (one sentence)", default="", decides=False)
    tokens: int | None = key(
        "Budget of the whole corpus (tokens); null takes all that the sources hold", default=None, minimum=1
    )
    weights: Mapping[str, float] = key(
        "Share of each source in `tokens` (fractions, sum 1); a source with tokens of its own needs none",
        default={}, above=0, maximum=1,
    )  # fmt: skip
    bytes_per_token: float | None = key(
        "Estimate that budgets count with (bytes per token); or count_with", default=None, above=0, maximum=1000
    )
    count_with: str | None = key(
        "Tokenizer that budgets count with (name in config/tokenizers); or bytes_per_token",
        default=None,
        refers="tokenizers",
    )
    seed: int = key(
        "Decides the order of documents and, where a budget leaves some out, which",
        default=42, minimum=0, maximum=2**32 - 1,
    )  # fmt: skip
    validation_share: float = key(
        "Expected share of documents held out (fraction)", default=0.01, minimum=0, maximum=0.5
    )
    min_characters: int = key("Shorter documents are refused (characters after cleaning)", default=100, minimum=1)
    max_characters: int | None = key(
        "Longer documents are refused (characters after cleaning); null for no limit", default=None, minimum=1
    )
    max_samples: int | None = key(
        "Highest number of documents read per source, before filters; null for no limit", default=None, minimum=1
    )
    reserve: float = key(
        "What is read beyond a source's share, in place of duplicates (fraction; sources with take: first)",
        default=0.02, minimum=0, maximum=10,
    )  # fmt: skip
    sample_documents: int = key("Documents read per source for the plan", default=400, minimum=2, maximum=10**7)
    sample_mb: float = key(
        "Most text read per source for the plan, out of which the sampled documents are drawn (MB); of the hub an"
        " eighth of it",
        default=128, above=0, maximum=1e6,
    )  # fmt: skip
    shard_mb: float = key(
        "Text per shard (MB before compression); bounds the memory of a job", default=32, above=0, maximum=1e5
    )
    thresholds: Thresholds = key(
        "What the filters of sources go by; defaults of Gopher (Rae et al. 2021, arXiv:2112.11446, A1.1) unless said"
        " otherwise",
        default=Thresholds(),
    )
    deduplication: Deduplication = key(
        "How documents that are alike are found; equal texts always are", default=Deduplication()
    )
    decontaminate: Decontaminate = key(
        "What becomes of documents that share n-grams with evaluation sets", default=Decontaminate()
    )
    folder: str | None = key("Folder that `paths` of local sources are relative to", default=None, decides=False)
    sources: Mapping[str, Source] = key(
        "Sources by name; of equal documents the one of the source named first stays",
        min_items=1, names="^[a-z0-9][a-z0-9_]*$",
    )  # fmt: skip
