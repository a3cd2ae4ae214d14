"""Turn the training documents of a corpus into a SentencePiece model, its manifest and its card."""

import io
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from abovo.corpus.shards import Document, read_documents
from abovo.errors import AbovoError
from abovo.provenance.code import Script
from abovo.provenance.hashing import sha256_file
from abovo.provenance.manifest import Manifest
from abovo.provenance.products import Job, Made, produce
from abovo.settings.keys import decisive
from abovo.settings.tokenizer import TokenizerSettings
from abovo.tokenizing.card import measure, write_card
from abovo.tokenizing.fast import prove
from abovo.tokenizing.huggingface import build, differences
from abovo.tokenizing.odd import ODD_STRINGS
from abovo.tokenizing.special import BOS, EOS, PAD, PIECES, UNK, special_pieces, user_defined

log = logging.getLogger("abovo")

# SentencePiece skips longer lines without a word, so lines are cut at a blank before that (bytes).
LONGEST_LINE = 4096
# The number of threads is part of the model's bytes, and for unigram of its sums, so it is never that of the machine.
THREADS = 2
TOO_LARGE = re.compile(r"Vocabulary size too high .*?<= (\d+)")


def train_tokenizer(settings: TokenizerSettings, corpus: Manifest, output: Path, script: Script | Path) -> Manifest:
    """Train on the first `sample_mb` of the corpus' training documents; measure on its validation documents.

    The model's bytes depend on the sample and the settings alone, whatever the number of cores. Raises AbovoError when
    the corpus cannot fill the vocabulary, or when one validation document is not given back unchanged.
    """

    def make(folder: Path) -> Made:
        import sentencepiece

        tally = Sample(round(settings.sample_mb * 1_000_000))
        documents = read_documents(corpus, "train")
        model = train_model(tally.lines(documents), settings, f"tokenizer of corpus {corpus.path}")
        if not tally.documents:
            raise AbovoError("no training document", corpus.path, "lower the corpus' validation_share")
        (folder / "spm.model").write_bytes(model)
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        special = special_pieces(settings.chat_pieces)
        check_special_ids(processor, special)
        pieces = ((processor.id_to_piece(i), processor.get_score(i)) for i in range(processor.get_piece_size()))
        vocabulary = "".join(f"{_visible(piece)}\t{score:g}\n" for piece, score in pieces)
        (folder / "spm.vocab").write_text(vocabulary, encoding="utf-8")
        exported, limit = build(processor, settings.model_type), round(settings.measure_mb * 1_000_000)
        measured = measure(processor, exported, read_documents(corpus, "val"), limit)
        differ = sum(own["export_differences"] for own in measured.values())
        differ += len(differences(processor, exported, ODD_STRINGS))
        if differ:
            log.warning("the Hugging Face form gives other ids on %d texts: no model with it can be exported", differ)
        write_card(folder / "TOKENIZER_CARD.md", settings, tally.bytes, measured)
        fields = {
            "tokenizer_sha256": sha256_file(folder / "spm.model"),
            "vocabulary_size": processor.get_piece_size(),
            "model_type": settings.model_type,
            "export_differences": differ,
            "fast_encoder": prove(model, processor, _sample(corpus, limit)),
            "special_ids": {piece: number for number, piece in enumerate(special)},
        }
        counts = {"sample_documents": tally.documents, "sample_bytes": tally.bytes, "measured": measured}
        return Made(counts, fields)

    return produce(Job(output, "abovo/tokenizer/1", {"corpus": corpus}, decisive(settings), script), make)


def _sample(corpus: Manifest, limit: int) -> Iterator[str]:
    """Odd strings, and the first `limit` bytes of validation documents."""
    yield from ODD_STRINGS
    for document in read_documents(corpus, "val"):
        if limit <= 0:
            return
        limit -= len(document.text.encode())
        yield document.text


class Sample:
    """The start of a stream of documents, up to a number of bytes, as lines for the trainer."""

    def __init__(self, limit: int) -> None:
        self.limit, self.documents, self.bytes = limit, 0, 0

    def lines(self, documents: Iterable[Document]) -> Iterator[str]:
        for document in documents:
            if self.bytes >= self.limit:
                return
            self.documents += 1
            self.bytes += len(document.text.encode())
            for line in document.text.split("\n"):
                yield from cut(line)


def cut(line: str, longest: int = LONGEST_LINE) -> Iterator[str]:
    """A line in pieces of at most `longest` bytes, each but the first starting at a blank where there is one."""
    # A character takes at most four bytes, so this many always fit.
    room = longest // 4
    while len(line) > room and len(line.encode()) > longest:
        place = line.rfind(" ", 1, room)
        place = place if place > 0 else room
        yield line[:place]
        line = line[place:]
    if line:
        yield line


def train_model(lines: Iterator[str], settings: TokenizerSettings, where: str) -> bytes:
    """The bytes of a SentencePiece model that keeps every character, newline, tab and run of blanks."""
    import sentencepiece

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines,
            model_writer=model,
            model_type=settings.model_type,
            vocab_size=settings.vocabulary_size,
            character_coverage=settings.character_coverage,
            max_sentencepiece_length=settings.max_piece_length,
            split_digits=settings.split_digits,
            max_sentence_length=2 * LONGEST_LINE,
            num_threads=THREADS,
            unk_id=UNK,
            bos_id=BOS,
            eos_id=EOS,
            pad_id=PAD,
            unk_piece=PIECES[UNK],
            bos_piece=PIECES[BOS],
            eos_piece=PIECES[EOS],
            pad_piece=PIECES[PAD],
            user_defined_symbols=list(user_defined(settings.chat_pieces)),
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,
            byte_fallback=True,
            allow_whitespace_only_pieces=True,
            minloglevel=2,
        )
    except (RuntimeError, OSError) as error:
        largest = TOO_LARGE.search(str(error))
        size = settings.vocabulary_size
        if largest:
            what = f"the corpus cannot fill {size} pieces, the largest possible number is {largest[1]}"
            raise AbovoError(what, f"{where}, key vocabulary_size", "lower it or enlarge the corpus") from None
        if "required_chars" in str(error) or "vocab_size()" in str(error) or "Vocabulary" in str(error):
            what = f"{size} pieces do not hold the special, byte and character pieces that the corpus needs"
            raise AbovoError(what, f"{where}, key vocabulary_size", "raise it or lower character_coverage") from None
        raise AbovoError(f"SentencePiece failed: {error}", where, "check the corpus") from None
    return FINISH[settings.model_type](model.getvalue())


def _as_trained(model: bytes) -> bytes:
    return model


def _with_round_scores(model: bytes) -> bytes:
    """Scores as multiples of 1/64: their sums are then exact in single precision as in double, so that two ways to
    cut a text that weigh the same are a tie for every library, and all of them break it alike."""
    from sentencepiece import sentencepiece_model_pb2 as messages

    parsed = messages.ModelProto()  # type: ignore[attr-defined]
    parsed.ParseFromString(model)
    for piece in parsed.pieces:
        if piece.type == parsed.SentencePiece.NORMAL:
            piece.score = round(piece.score * 64) / 64
    return parsed.SerializeToString(deterministic=True)


FINISH: dict[str, Callable[[bytes], bytes]] = {"bpe": _as_trained, "unigram": _with_round_scores}


def check_special_ids(processor: Any, special: Sequence[str]) -> None:
    """Raise unless every special piece has the id of the one table."""
    for number, piece in enumerate(special):
        if processor.id_to_piece(number) != piece:
            found = processor.id_to_piece(number)
            raise AbovoError(f"id {number} is {found!r}, not {piece!r}", "spm.model", "train it again")


def _visible(piece: str) -> str:
    return piece.replace("\n", "\\n").replace("\t", "\\t")
