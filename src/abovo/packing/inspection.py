"""Turn packed corpora into what a person should know of them before a model trains on them, or into a refusal."""

import itertools
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unicodedata import category

import numpy as np

from abovo.corpus.criteria import letters_in
from abovo.corpus.language import identify
from abovo.corpus.shards import Document, read_documents
from abovo.errors import AbovoError
from abovo.packing.lineage import RECORD
from abovo.provenance.chain import Chain
from abovo.provenance.code import Script
from abovo.provenance.manifest import Manifest
from abovo.provenance.products import Job, Made, produce
from abovo.settings.inspection import Inspection
from abovo.settings.keys import decisive
from abovo.tokenizing.load import Tokenizer

log = logging.getLogger("abovo")
# Categories of characters that a terminal obeys, or shows nothing of.
UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
# What is measured -> the key that bounds it, whether that is a maximum, what it is a share of, and what helps.
BOUNDS = {
    "duplicates": ("max_duplicates", True, "of its documents equal or nearly equal others", "give it other text"),
    "most_frequent_line": ("max_line", True, "of its lines are one and the same", "clean it"),
    "letters": ("min_letters", False, "of its characters are letters or blanks", "check that it is text"),
    "language": ("min_language", False, "of its text is in the language of its sources", "check text and language"),
    "unknown_pieces": ("max_unknown", True, "of its tokens are unknown pieces", "take another tokenizer"),
    "byte_pieces": ("max_byte_pieces", True, "of its tokens are single bytes", "take another tokenizer"),
    "padding": ("max_padding", True, "of its training rows is padding", "give it more text, or shorten the rows"),
}


def inspect_sets(
    packed: Mapping[str, Manifest], tokenizer: Tokenizer, settings: Inspection, output: Path, script: Script | Path
) -> Manifest:
    """Show samples of each packed corpus and what was counted in it, in the log and in a manifest.

    `packed` maps the names of sets to their manifests, behind which the corpora are found. Raises AbovoError, in one
    line, for a corpus that is empty or beyond a bound of `settings`.
    """
    chain = Chain()
    corpora = {name: chain.input(one, "corpus") for name, one in packed.items()}

    def make(_: Path) -> Made:
        found = {}
        for name, one in packed.items():
            found[name] = described(one, corpora[name], tokenizer, settings)
            _tell(name, found[name])
            refuse(name, found[name], settings)
        return Made({}, {"corpora": found})

    inputs = {"tokenizer": tokenizer.manifest, **{f"set/{name}": one for name, one in packed.items()}}
    return produce(Job(output, "abovo/inspection/1", inputs, decisive(settings), script), make)


def described(packed: Manifest, corpus: Manifest, tokenizer: Tokenizer, settings: Inspection) -> dict[str, Any]:
    """Counts of all that was packed, and shares of what is at the beginning of the corpus."""
    documents = list(itertools.islice(read_documents(corpus), settings.documents))
    splits, sources = {split: packed["counts"][split] for split in ("train", "val")}, corpus["counts"]["sources"]
    whole = sum(one["documents"] for one in splits.values())
    again = sum(one["duplicates"] + one["near_duplicates"] for one in sources.values())
    lines = Counter(line for document in documents for line in map(str.strip, document.text.split("\n")) if line)
    characters = sum(len(document.text) for document in documents)
    return {
        "documents": {split: one["documents"] for split, one in splits.items()},
        "tokens": {split: one["tokens"] for split, one in splits.items()},
        "bytes": sum(one["bytes"] for one in splits.values()),
        "tokens_per_document": _lengths(packed),
        "looked_at": {"documents": len(documents), "characters": characters},
        "rejected": _summed(sources),
        "duplicates": _share(again, whole + again),
        "most_frequent_line": _share(max(lines.values(), default=0), sum(lines.values())),
        "frequent_lines": [
            {"line": line[: settings.sample_characters], "times": times}
            for line, times in lines.most_common(settings.frequent_lines)
        ],
        "letters": _share(sum(letters_in(document.text) for document in documents), characters),
        "language": _in_language(documents, corpus),
        **_pieces(documents, tokenizer, characters),
        "padding": splits["train"]["padded_share"],
        "samples": [
            {"source": document.source, "id": document.id, "text": document.text[: settings.sample_characters]}
            for document in documents[: settings.samples]
        ],
    }


def refuse(name: str, found: Mapping[str, Any], settings: Inspection) -> None:
    """Raise AbovoError for a corpus that is empty or beyond a bound."""
    where, documents = f"corpus {name}", sum(found["documents"].values())
    if documents < settings.min_documents:
        what = f"holds {documents} documents, fewer than inspection.min_documents ({settings.min_documents})"
        raise AbovoError(what, where, "give it more text, or lower cpt.inspection.min_documents")
    for trait, (key, most, words, mend) in BOUNDS.items():
        share, bound = found[trait], getattr(settings, key)
        if share is None or (share <= bound if most else share >= bound):
            continue
        what = f"{share:.1%} {words}, {'more' if most else 'less'} than inspection.{key} ({bound:.0%})"
        raise AbovoError(what, where, f"{mend}, or {'raise' if most else 'lower'} cpt.inspection.{key}")


def _lengths(packed: Manifest) -> dict[str, int | float]:
    """Tokens of the documents, EOS included."""
    found = [np.memmap(packed.file(f"{split}.docs"), RECORD, "r")["ids"] for split in ("train", "val")]
    ids = np.concatenate(found)
    low, middle, high = np.percentile(ids, (5, 50, 95), method="lower").tolist()
    return {
        "shortest": int(ids.min()), "5 %": low, "median": middle, "mean": round(float(ids.mean()), 1), "95 %": high,
        "longest": int(ids.max()),
    }  # fmt: skip


def _summed(sources: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """What was refused of all sources, by reason."""
    found: Counter[str] = Counter()
    for one in sources.values():
        found.update(one["rejected"])
    return dict(sorted(found.items()))


def _in_language(documents: Sequence[Document], corpus: Manifest) -> float | None:
    """Share of the characters in documents of the language that their source names; None where none names one."""
    named = {name: one["language"] for name, one in corpus["sources"].items() if one["language"]}
    asked = [document for document in documents if document.source in named]
    right = sum(
        len(document.text)
        for document in asked
        if identify(document.text)[0] == named[document.source].split("-")[0].lower()
    )
    return _share(right, sum(len(document.text) for document in asked)) if asked else None


def _pieces(documents: Sequence[Document], tokenizer: Tokenizer, characters: int) -> dict[str, Any]:
    """What the tokenizer makes of the documents; `byte_pieces` is None where it spells all text in bytes."""
    ids = np.concatenate([np.zeros(0, np.uint32), *tokenizer.encode_arrays([one.text for one in documents])])
    counts = np.bincount(ids, minlength=tokenizer.vocabulary_size)
    unknown = 0 if tokenizer.unknown is None else int(counts[tokenizer.unknown])
    spelt = int(counts[list(tokenizer.byte_pieces)].sum()) if tokenizer.byte_pieces else None
    return {
        "characters_per_token": round(characters / max(1, ids.size), 3),
        "unknown_pieces": _share(unknown, ids.size),
        "byte_pieces": None if spelt is None else _share(spelt, ids.size),
    }


def _share(part: int, whole: int) -> float:
    return round(part / max(1, whole), 6)


def _quoted(text: str) -> str:
    """A text on one line, with what breaks lines, moves a cursor or turns the direction of writing spelt out."""
    words = json.dumps(text, ensure_ascii=False)
    return "".join(json.dumps(one)[1:-1] if category(one) in UNSEEN else one for one in words)


def _tell(name: str, found: Mapping[str, Any]) -> None:
    """What was found, in a few lines of the log."""
    for one in found["samples"]:
        log.info("%s: %s %s: %s", name, one["source"], one["id"], _quoted(one["text"]))
    for one in (one for one in found["frequent_lines"] if one["times"] > 1):
        log.info("%s: %d times the line %s", name, one["times"], _quoted(one["line"]))
    documents, tokens = found["documents"], found["tokens"]
    log.info(
        "%s: %s documents (%s held out), %s tokens, of a document %s; %s characters to a token",
        name, f"{sum(documents.values()):,}", f"{documents['val']:,}", f"{sum(tokens.values()):,}",
        ", ".join(f"{key} {value:,}" for key, value in found["tokens_per_document"].items()),
        found["characters_per_token"],
    )  # fmt: skip
    shares = (f"{found[trait]:.1%} {words}" for trait, (_, _, words, _) in BOUNDS.items() if found[trait] is not None)
    log.info("%s: %s", name, ", ".join(shares))
    if found["rejected"]:
        log.info("%s: refused %s", name, ", ".join(f"{number:,} ({why})" for why, number in found["rejected"].items()))
