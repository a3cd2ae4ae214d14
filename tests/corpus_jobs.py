"""Run all jobs of a corpus one after the other, as the workflow does, for tests of the corpus stage."""

from pathlib import Path
from typing import Any

from abovo.corpus.assemble import assemble_corpus
from abovo.corpus.consistency import check_corpus
from abovo.corpus.duplicates import find_duplicates
from abovo.corpus.examine import Measures
from abovo.corpus.read import read_source
from abovo.corpus.sources import Source as OpenSource
from abovo.corpus.sources import open_source
from abovo.corpus.survey import plan_corpus
from abovo.provenance.manifest import Manifest
from abovo.settings.corpus import Corpus, Source
from abovo.settings.instruction import Records
from abovo.settings.keys import build
from abovo.tokenizing.count import measures_of, token_counter

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "workflow/scripts"


def source_of(**values: Any) -> Source:
    """The settings of a source, checked and filled with defaults."""
    return build(Source, {"licence": "CC0", "language": "en", **values}, "source")


def rows_of(**values: Any) -> Records:
    """The settings of a source of whole rows, checked and filled with defaults."""
    return build(Records, values, "source")


def opened(settings: dict, revision: dict | None = None) -> OpenSource:
    """A source with these settings, opened."""
    return open_source(source_of(**settings), revision)


def resolved(corpus: dict) -> Corpus:
    """The settings of a corpus, checked and filled with defaults, as scripts get them."""
    built = build(Corpus, corpus, "corpus")
    check_corpus(built, "corpus")
    return built


def run_jobs(
    corpus: dict, folder: Path, tokenizer: Path | None = None, decontamination: Path | None = None
) -> Manifest:
    """Plan, read all parts of all sources, compare, assemble; returns the corpus' manifest."""
    settings = resolved(corpus)
    measures = measures_of(settings, tokenizer, decontamination)
    count = Measures(*token_counter(settings, tokenizer))
    plan = plan_corpus(settings, count, folder / "plan.json", SCRIPTS / "plan_corpus.py")
    sources = {
        name: [
            read_source(
                settings, name, part, plan, measures, folder / f"sources/{name}/{part}/manifest.json",
                SCRIPTS / "read_source.py",
            )
            for part in range(source.parts)
        ]
        for name, source in settings.sources.items()
    }  # fmt: skip
    duplicates = [
        find_duplicates(
            settings, plan, sources, job, folder / f"duplicates/{job}/manifest.json", SCRIPTS / "find_duplicates.py"
        )
        for job in range(settings.deduplication.jobs)
    ]
    output = folder / "manifest.json"
    return assemble_corpus(settings, plan, sources, duplicates, measures, output, SCRIPTS / "assemble_corpus.py")
