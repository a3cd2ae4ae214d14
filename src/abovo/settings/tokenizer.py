"""A tokenizer that is trained on a corpus, or that of a model that was trained elsewhere: config/tokenizers/."""

from dataclasses import dataclass
from typing import Literal

from abovo.settings.keys import key


@dataclass(frozen=True, kw_only=True)
class TokenizerSettings:
    """A SentencePiece tokenizer and the corpus that it is trained on."""

    description: str = key("What the tokenizer is for (one sentence)", default="", decides=False)
    corpus: str = key(
        "Corpus that it is trained on (name in config/corpora); that corpus counts with bytes_per_token",
        refers="corpora",
    )
    model_type: Literal["bpe", "unigram"] = key("Kind of SentencePiece model; unigram has no GGUF form", default="bpe")
    vocabulary_size: int = key("Pieces, special and byte pieces included", minimum=272, maximum=1000000)
    sample_mb: float = key(
        "Text that it is trained on, from the start of the corpus' training documents (MB)",
        default=50,
        above=0,
        maximum=1e5,
    )
    character_coverage: float = key(
        "Share of characters that get a piece; the others are spelled in bytes", default=0.9995, above=0.9, maximum=1
    )
    max_piece_length: int = key("Longest piece (characters)", default=16, minimum=1, maximum=256)
    split_digits: bool = key("Whether every digit is a piece of its own", default=False)
    chat_pieces: tuple[str, ...] = key(
        "Special pieces that chat templates write, such as <|eot_id|>; each is one piece wherever it stands in a text",
        default=("<|im_start|>", "<|im_end|>"), pattern="^[^\\s\\u2581]{2,64}$", unique=True,
    )  # fmt: skip
    measure_mb: float = key(
        "Validation text per source that the card is measured on (MB)", default=2, above=0, maximum=1e5
    )


@dataclass(frozen=True, kw_only=True)
class AdoptedSettings:
    """The tokenizer of a model that was trained elsewhere."""

    description: str = key("What the tokenizer is for (one sentence)", default="", decides=False)
    model_directory: str = key(
        "Folder in the Hugging Face layout that holds the tokenizer, with its chat template where it has one",
        min_length=1,
    )
    vocabulary_size: int | None = key(
        "Pieces, special ones included; null: as many as its tokenizer.json holds", default=None, minimum=2,
        maximum=10**7, decides=False,
    )  # fmt: skip
