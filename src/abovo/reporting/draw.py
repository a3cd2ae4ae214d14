"""Turn manifests into the figures and pages of a report, one function per artifact.

Each has a manifest beside it, so that whoever reads a figure can check its bytes, and what it was drawn from.
"""

from collections.abc import Sequence
from pathlib import Path

import orjson

from abovo.errors import AbovoError
from abovo.evaluation.assemble import SCHEMA as EVALUATION
from abovo.evaluation.comparison import Compared, differences
from abovo.provenance.chain import Chain
from abovo.provenance.code import Script
from abovo.provenance.manifest import Manifest, read_manifest
from abovo.provenance.products import Job, Made, produce
from abovo.reporting import figures, pages
from abovo.reporting.instruction import instruction_card
from abovo.reporting.loss_by_source import losses_after_phases
from abovo.reporting.repeated import drawn_in_words
from abovo.settings.keys import plain
from abovo.settings.stages import LossFigure

SCHEMA = "abovo/figures/1"


def loss_of_model(settings: LossFigure, manifest: Path, title: str, output: Path, script: Script | Path) -> Manifest:
    """Draw the loss of the training that made a model, and its validation loss by source, as a figure and as a page:
    loss.svg, loss_by_source.svg and loss_by_source.html beside `output`, their manifest."""
    model = read_manifest(manifest, "abovo/model/")
    phases = settings.phases

    def make(folder: Path) -> Made:
        rows = [orjson.loads(line) for line in model.file("metrics.jsonl").read_bytes().splitlines()]
        figures.draw_loss(rows, settings.vocabulary_size, phases, title, folder / "loss.svg", settings.scored)
        figures.draw_sources(rows, phases, title, folder / "loss_by_source.svg", settings.scored)
        losses = losses_after_phases(rows, phases)
        drawn = drawn_in_words(model.data)
        body = pages.sources(losses, list(phases), settings.scored, model.data.get("unvalidated", ()), drawn)
        pages.write_page(f"Validation loss by source: {title}", body, folder / "loss_by_source.html")
        return Made({"rows": len(rows)})

    return produce(Job(output, SCHEMA, {"model": model}, {**plain(settings), "title": title}, script), make)


def composition_of_corpus(manifest: Path, title: str, output: Path, script: Script | Path) -> Manifest:
    """Draw what a corpus is made of, source by source: composition.svg beside `output`, its manifest."""
    corpus = read_manifest(manifest, "abovo/corpus/")

    def make(folder: Path) -> Made:
        assumed = corpus["parameters"].get("bytes_per_token")  # null where a tokenizer counted
        sources = corpus["counts"]["sources"]
        figures.draw_composition(sources, title, folder / "composition.svg", assumed)
        return Made({"sources": len(sources)})

    return produce(Job(output, SCHEMA, {"corpus": corpus}, {"title": title}, script), make)


def page_of_tokenizer(manifest: Path, title: str, output: Path, script: Script | Path) -> Manifest:
    """Show a tokenizer's card as a page: card.html beside `output`, its manifest."""
    tokenizer = read_manifest(manifest, "abovo/tokenizer/")

    def make(folder: Path) -> Made:
        text = tokenizer.file("TOKENIZER_CARD.md").read_text(encoding="utf-8")
        pages.write_page(title, pages.card(text), folder / "card.html")
        return Made({})

    return produce(Job(output, SCHEMA, {"tokenizer": tokenizer}, {"title": title}, script), make)


def page_of_instruction(manifest: Path, title: str, output: Path, script: Script | Path) -> Manifest:
    """Show what an instruction set took and what it left out: set.html beside `output`, its manifest."""
    conversations = read_manifest(manifest, "abovo/instruction/")

    def make(folder: Path) -> Made:
        pages.write_page(title, pages.card(instruction_card(conversations.data)), folder / "set.html")
        return Made({})

    return produce(Job(output, SCHEMA, {"instruction": conversations}, {"title": title}, script), make)


def page_of_results(
    titles: Sequence[str], evaluations: Sequence[Path], output: Path, script: Script | Path
) -> Manifest:
    """Show the metrics and generations of models side by side, in a column for each evaluation under its title.

    Makes results.html beside `output`, its manifest, and of the metrics worth a line headline.html, a table for the
    opening page of a report.
    """
    if len(titles) != len(evaluations):
        what = f"{len(titles)} titles and {len(evaluations)} evaluations are given"
        raise AbovoError(what, "page_of_results", "give each evaluation one title")
    found = [read_manifest(path, EVALUATION) for path in evaluations]
    if len({evaluation["tokenizer_sha256"] for evaluation in found}) > 1:
        raise AbovoError("evaluated with another tokenizer than the model before", evaluations[-1], "make it again")

    def make(folder: Path) -> Made:
        columns = {title: item.data for title, item in zip(titles, found, strict=True)}
        chain = Chain()
        models = [Compared(one, chain) for one in found[-2:]]
        changes = differences(*models, strict=True).found if len(models) > 1 else {}
        pages.write_page("Results", pages.results(columns, changes), folder / "results.html")
        (folder / "headline.html").write_text(pages.headline(columns, changes), encoding="utf-8")
        return Made({"columns": len(columns)})

    inputs = {f"evaluation/{title}": item for title, item in zip(titles, found, strict=True)}
    return produce(Job(output, SCHEMA, inputs, {"titles": list(titles)}, script), make)
