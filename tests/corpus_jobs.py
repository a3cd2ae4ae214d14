"""Run all jobs of a corpus one after the other, as the workflow does, for tests of the corpus stage."""

from pathlib import Path

from abovo.corpus.assemble import assemble_corpus
from abovo.corpus.check import check_corpus
from abovo.corpus.duplicates import find_duplicates
from abovo.corpus.read import read_source
from abovo.corpus.survey import plan_corpus
from abovo.provenance.manifest import Manifest
from abovo.settings.corpus import Corpus
from abovo.settings.keys import build, decisive
from abovo.tokenizing.count import token_counter

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "workflow/scripts"


def resolved(corpus: dict) -> dict:
    """The settings of a corpus, checked and filled with defaults, as scripts get them."""
    corpus = decisive(build(Corpus, corpus, "corpus"))
    check_corpus(corpus, "corpus")
    return corpus


def run_jobs(corpus: dict, folder: Path, tokenizer: Path | None = None) -> Manifest:
    """Plan, read all parts of all sources, compare, assemble; returns the corpus' manifest."""
    corpus = resolved(corpus)
    count, inputs = token_counter(corpus, tokenizer)
    plan = plan_corpus(corpus, count, inputs, folder / "plan.json", SCRIPTS / "plan_corpus.py")
    sources = {
        name: [
            read_source(
                corpus, name, part, plan, count, inputs, folder / f"sources/{name}/{part}/manifest.json",
                SCRIPTS / "read_source.py",
            )
            for part in range(source["parts"])
        ]
        for name, source in corpus["sources"].items()
    }  # fmt: skip
    duplicates = [
        find_duplicates(
            corpus, sources, job, folder / f"duplicates/{job}/manifest.json", SCRIPTS / "find_duplicates.py"
        )
        for job in range(corpus["deduplication"]["jobs"])
    ]
    return assemble_corpus(
        corpus, plan, sources, duplicates, count, inputs, folder / "manifest.json", SCRIPTS / "assemble_corpus.py"
    )
