"""Turn manifests into the figures and pages of a report, one function per artifact."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from abovo.errors import AbovoError
from abovo.provenance.manifest import Manifest, read_manifest
from abovo.reporting import figures, pages


def loss_of_model(settings: Mapping[str, Any], manifest: Path, title: str, output: Path) -> None:
    """Draw the loss of the training that made a model; settings: `vocabulary_size` and `phases` {name: last step}."""
    model = read_manifest(manifest, "abovo/model/")
    rows = [orjson.loads(line) for line in model.file("metrics.jsonl").read_bytes().splitlines()]
    figures.draw_loss(rows, settings.get("vocabulary_size"), settings.get("phases", {}), title, output)


def composition_of_corpus(manifest: Path, title: str, output: Path) -> None:
    """Draw what a corpus is made of, source by source."""
    corpus = read_manifest(manifest, "abovo/corpus/")
    figures.draw_composition(corpus["counts"]["sources"], title, output)


def page_of_tokenizer(manifest: Path, output: Path) -> None:
    """Show a tokenizer's card as a page."""
    tokenizer = read_manifest(manifest, "abovo/tokenizer/")
    text = tokenizer.file("TOKENIZER_CARD.md").read_text(encoding="utf-8")
    pages.write_page(f"Tokenizer {manifest.parent.name}", pages.card(text), output)


def page_of_results(base: Path, tuned: Path | None, output: Path) -> None:
    """Show the metrics and generations of a base model, and beside them those after fine-tuning."""
    evaluations = {"base model": _evaluation(base)}
    if tuned is not None:
        evaluations["after fine-tuning"] = _evaluation(tuned)
    if len({evaluation["tokenizer_sha256"] for evaluation in evaluations.values()}) > 1:
        raise AbovoError("evaluated with another tokenizer than the base model", tuned or base, "make it again")
    body = pages.results({column: evaluation.data for column, evaluation in evaluations.items()})
    pages.write_page("Results", body, output)


def _evaluation(path: Path) -> Manifest:
    return read_manifest(path, "abovo/evaluation/")
