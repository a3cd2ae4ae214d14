"""A corpus, tokenizer, packed rows and model of a few documents, made with the real code for tests of later stages."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from small_training import shape

from abovo.corpus.shards import Document, read_documents, write_lines
from abovo.packing.pack import pack_corpus
from abovo.provenance.hashing import sha256_file
from abovo.provenance.manifest import Manifest
from abovo.provenance.products import Job, Made, produce
from abovo.settings.model import Model
from abovo.settings.tokenizer import TokenizerSettings
from abovo.tokenizing.load import load_tokenizer
from abovo.tokenizing.template_files import default_template
from abovo.tokenizing.train import train_tokenizer

__all__ = ["read_documents"]
SCRIPT = Path(__file__)
# Ids of the pieces of ChatML in a tokenizer that is trained here, and the template as jobs are told it.
IM_START, IM_END = 4, 5
CHATML = default_template()
SHAPE = shape(hidden_size=64, layers=2, head_dim=32, feed_forward=128)
SPELLING = TokenizerSettings(
    corpus="small", vocabulary_size=600, character_coverage=1.0, split_digits=True, sample_mb=10, measure_mb=1
)
PRESIDENTS = ("1790-Washington-1", "1862-Lincoln-1", "1910-Taft-1", "1963-Kennedy-1", "1830-Jackson-1", "1988-Reagan-1")
WORDS = (
    "peace", "commerce", "treaty", "navy", "people", "harvest", "union", "public", "debt", "revenue", "frontier",
    "justice", "labor", "school", "river",
)  # fmt: skip


def address(name: str, number: int) -> Document:
    """A section of an address with sentences that stand in no other."""
    year = name[:4]
    picked = [WORDS[(int(year) * 7 + number * 3 + place * 5) % len(WORDS)] for place in range(12)]
    text = "\n\n".join(
        f"The {picked[part]} of the nation and the {picked[part + 1]} of the year {year} were matter {number} of my"
        f" report. Let the {picked[part + 2]} be guarded by the {picked[part + 3]}, as law {number} asks."
        for part in range(0, 9, 3)
    )
    return Document(f"sotu/{name}#{number:03d}", text, "speeches", len(text) // 3)


def function(package: str, number: int) -> Document:
    """A docstring with a signature and a summary of its own."""
    word, other = WORDS[number % len(WORDS)], WORDS[(number * 7 + 3) % len(WORDS)]
    name = f"{package}.tools.{word}_{number}"
    text = (
        f"{name}(x, {other}=None, axis={number})\n\nReturn the {word} of an array along axis {number} of {package}.\n\n"
        f"Parameters\n----------\nx : array\n    The {other} to be counted.\naxis : int\n    Axis number {number}."
    )
    return Document(f"{package}/{name}", text, "docstrings", len(text) // 3)


def documents() -> list[Document]:
    """Speeches and docstrings, mixed."""
    speeches = [address(name, number) for number in range(1, 21) for name in PRESIDENTS]
    functions = [function(package, number) for number in range(40) for package in ("numpy", "pandas", "scipy")]
    return [document for pair in zip(speeches, functions, strict=True) for document in pair]


def make_corpus(
    folder: Path,
    items: Iterable[Document] | None = None,
    share: float = 0.3,
    name: str = "small",
    sources: Iterable[str] = ("speeches", "docstrings"),
    made_from: Mapping[str, Any] | None = None,
) -> Manifest:
    """A corpus of one shard; what is `made_from` the same under one name is made once."""

    def make(place: Path) -> Made:
        write_lines(place / "shards" / "shard-00000.jsonl.zst", (item.line() for item in items or documents()))
        return Made({}, {"validation_share": share, "sources": {source: {} for source in sources}})

    return produce(Job(folder / f"corpora/{name}/manifest.json", "abovo/corpus/1", {}, made_from or {}, SCRIPT), make)


def make_tokenizer(folder: Path, corpus: Manifest, size: int = 600) -> Path:
    path = folder / "tokenizers/small/tokenizer_config.json"
    train_tokenizer(replace(SPELLING, vocabulary_size=size), corpus, path, SCRIPT)
    return path


def make_packed(folder: Path, corpus: Manifest, tokenizer: Path, length: int = 64, name: str = "small") -> Manifest:
    return pack_corpus(
        corpus, load_tokenizer(tokenizer), length, folder / f"packed/{name}/small/{length}/manifest.json", SCRIPT
    )


def make_model(
    folder: Path, stage: str, tokenizer: Path, packed: Manifest, chat: bool = False, seed: int = 1,
    like: Model = SHAPE, **other: Any,
) -> Manifest:  # fmt: skip
    """An untrained model in the layout of a trained one, of the shape `like` but for `other` keys."""
    from abovo.modeling.build import build_model
    from abovo.tokenizing.templates import template_for
    from abovo.training.export import export_model

    opened, length = load_tokenizer(tokenizer), packed["sequence_length"]

    def make(place: Path) -> Made:
        model = build_model(replace(like, **other), opened.vocabulary_size, length, seed, opened.eos, opened.pad)
        export_model(model, opened, place / "model", length, template_for(CHATML if chat else None, opened))
        fields = {
            "tokenizer_sha256": opened.sha256,
            "model_sha256": sha256_file(place / "model" / "model.safetensors"),
            "sequence_length": length,
            "train_loss_first": 6.4,
            "train_loss_last": 6.3,
            "validation_loss": 6.3,
        }
        size = sum(parameter.numel() for parameter in model.parameters())
        return Made({"parameters": size, "steps": 1, "tokens": length}, fields)

    job = partial(
        Job,
        schema="abovo/model/1",
        inputs={"packed": packed},
        script=SCRIPT,
        settings={"seed": seed, "family": like.family, **other},
    )
    return produce(job(folder / stage / "small/manifest.json"), make)
