"""Measure a tokenizer on documents that it was not trained on, and write the figures down for people."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from abovo.corpus.shards import Document
from abovo.errors import AbovoError
from abovo.settings.tokenizer import TokenizerSettings
from abovo.tokenizing.special import UNK, special_pieces

COLUMNS = {
    "documents": "documents", "characters_per_token": "characters/token", "bytes_per_token": "bytes/token",
    "fertility": "tokens/word", "unknown_rate": "unknown", "byte_rate": "byte pieces",
    "round_trip_failures": "failures", "export_differences": "export differs",
}  # fmt: skip


def measure(
    processor: Any, exported: Any, documents: Iterable[Document], bytes_per_source: int
) -> dict[str, dict[str, Any]]:
    """Figures per source over at most `bytes_per_source` of text each; `exported` is the same tokenizer as
    tokenizers.Tokenizer, and documents that it gives other ids are counted.

    Raises AbovoError naming the first document whose text does not come back unchanged from its ids.
    """
    byte_ids = {i for i in range(processor.get_piece_size()) if processor.is_byte(i)}
    totals: dict[str, dict[str, int]] = {}
    names = ("documents", "characters", "bytes", "words", "tokens", "unknown", "byte_pieces", "differences")
    for document in documents:
        own = totals.setdefault(document.source, dict.fromkeys(names, 0))
        if own["bytes"] >= bytes_per_source:
            continue
        ids = processor.encode(document.text)
        if processor.decode(ids) != document.text:
            raise AbovoError("the tokenizer does not give its text back", f"document {document.id}", "report this")
        added = (
            1, len(document.text), len(document.text.encode()), len(document.text.split()), len(ids), ids.count(UNK),
            sum(i in byte_ids for i in ids), exported.encode(document.text, add_special_tokens=False).ids != ids,
        )  # fmt: skip
        for name, value in zip(names, added, strict=True):
            own[name] += value
    return {source: _rates(own) for source, own in sorted(totals.items())}


def _rates(own: Mapping[str, int]) -> dict[str, Any]:
    tokens = own["tokens"]
    return {
        "documents": own["documents"],
        "tokens": tokens,
        "characters_per_token": round(own["characters"] / tokens, 4),
        "bytes_per_token": round(own["bytes"] / tokens, 4),
        "fertility": round(tokens / max(own["words"], 1), 4),
        "unknown_rate": round(own["unknown"] / tokens, 6),
        "byte_rate": round(own["byte_pieces"] / tokens, 6),
        "round_trip_failures": 0,
        "export_differences": own["differences"],
    }


def write_card(path: Path, settings: TokenizerSettings, sample_bytes: int, measured: Mapping[str, Mapping]) -> None:
    rows = [
        f"| {source} | " + " | ".join(_cell(own[key]) for key in COLUMNS) + " |" for source, own in measured.items()
    ]
    specials = ", ".join(f"{number} `{piece!r}`" for number, piece in enumerate(special_pieces(settings.chat_pieces)))
    megabytes = sample_bytes / 1e6
    text = f"""# Tokenizer

{settings.vocabulary_size:,} pieces (SentencePiece {settings.model_type}), trained on {megabytes:.1f} MB of the
training documents of corpus {settings.corpus}.

Text goes in as it is (no normalisation, no added blank, newlines and tabs are pieces); what has no piece is spelled in
bytes. Special ids: {specials}.

## Measured on validation documents

| source | {" | ".join(COLUMNS.values())} |
|---|{"---:|" * len(COLUMNS)}
{chr(10).join(rows)}

*Failures* are documents that do not come back unchanged from their ids; a tokenizer with one is never written. *Export
differs* counts documents that the Hugging Face form gives other ids; a tokenizer with one is never exported.
"""
    path.write_text(text, encoding="utf-8")


def _cell(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
