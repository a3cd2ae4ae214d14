"""Turn manifests into the figures and pages of a report, one function per artifact."""

from collections.abc import Sequence
from pathlib import Path

import orjson

from abovo.errors import AbovoError
from abovo.provenance.files import atomic_path
from abovo.provenance.manifest import read_manifest
from abovo.reporting import figures, pages
from abovo.reporting.loss_by_source import losses_after_phases
from abovo.settings.stages import LossFigure


def loss_of_model(settings: LossFigure, manifest: Path, title: str, output: Path, by_source: Path, table: Path) -> None:
    """Draw the loss of the training that made a model, and its validation loss by source, as a figure and as a page."""
    model = read_manifest(manifest, "abovo/model/")
    rows = [orjson.loads(line) for line in model.file("metrics.jsonl").read_bytes().splitlines()]
    size, phases = settings.vocabulary_size, settings.phases
    figures.draw_loss(rows, size, phases, title, output, settings.scored)
    figures.draw_sources(rows, phases, title, by_source, settings.scored)
    body = pages.sources(losses_after_phases(rows, phases), list(phases), settings.scored)
    pages.write_page(f"Validation loss by source: {title}", body, table)


def composition_of_corpus(manifest: Path, title: str, output: Path) -> None:
    """Draw what a corpus is made of, source by source."""
    corpus = read_manifest(manifest, "abovo/corpus/")
    assumed = corpus["parameters"].get("bytes_per_token")  # null where a tokenizer counted
    figures.draw_composition(corpus["counts"]["sources"], title, output, assumed)


def page_of_tokenizer(manifest: Path, title: str, output: Path) -> None:
    """Show a tokenizer's card as a page."""
    tokenizer = read_manifest(manifest, "abovo/tokenizer/")
    text = tokenizer.file("TOKENIZER_CARD.md").read_text(encoding="utf-8")
    pages.write_page(title, pages.card(text), output)


def page_of_results(titles: Sequence[str], evaluations: Sequence[Path], output: Path, headline: Path) -> None:
    """Show the metrics and generations of models side by side, in a column for each evaluation under its title.

    The metrics worth a line go to `headline` too, a table for the opening page of a report.
    """
    if len(titles) != len(evaluations):
        what = f"{len(titles)} titles and {len(evaluations)} evaluations are given"
        raise AbovoError(what, "page_of_results", "give each evaluation one title")
    found = [read_manifest(path, "abovo/evaluation/") for path in evaluations]
    if len({evaluation["tokenizer_sha256"] for evaluation in found}) > 1:
        raise AbovoError("evaluated with another tokenizer than the model before", evaluations[-1], "make it again")
    columns = {title: item.data for title, item in zip(titles, found, strict=True)}
    pages.write_page("Results", pages.results(columns), output)
    with atomic_path(headline) as temporary:
        temporary.write_text(pages.headline(columns), encoding="utf-8")
