"""Rows of tasks that share 13 words in a row with a training document are named, however the corpus is made."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import small_world as world

from abovo.config import inputs
from abovo.config.jobs import deciding_settings, job_settings
from abovo.config.runs import Configuration
from abovo.corpus.shards import Document
from abovo.corpus.split import document_hash, is_validation
from abovo.evaluation.items import open_task
from abovo.evaluation.overlap import measure_overlap
from abovo.settings.task import OverlapSettings, Task, TaskRowsOf, TaskSource

CONFIG = Path(__file__).resolve().parent.parent / "config"
PASSAGE = "the old mill by the river {} ground the corn of seven villages"


def rows_of(tmp_path, name, rows, **more):
    path = tmp_path / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return TaskRowsOf(name=name, source=TaskSource(type="local", paths=str(path)), **more)


def held_out(text, share=0.3):
    return is_validation(document_hash(text), share)


def documents():
    """Training documents with the passages 1 and 4, and a held-out one with passage 2."""
    found = []
    for number, held in ((1, False), (4, False), (2, True)):
        texts = (f"Page {page}. {PASSAGE.format(f'number {number}').upper()}, they say." for page in range(100))
        found.append(next(text for text in texts if held_out(text) == held))
    return [Document(f"d{number}", text, "web", 20) for number, text in enumerate(found)]


def test_rows_in_training_documents_are_named_as_items_are_and_those_held_out_are_not(tmp_path):
    corpus = world.make_corpus(tmp_path, documents(), sources=("web",))
    passages = [{"key": f"k{number}", "q": PASSAGE.format(f"number {number}"), "a": "yes"} for number in range(6)]
    short = [{"key": "s", "q": "the old mill by the river", "a": "no"}]
    tasks = {
        "plain": rows_of(tmp_path, "plain", [*passages, *short], decontaminate=("q",)),
        "named": rows_of(tmp_path, "named", passages, id="key"),
        "sets": rows_of(tmp_path, "sets", passages, set_column="key", decontaminate=("q", "a")),
        "gone": TaskRowsOf(name="gone", source=TaskSource(type="local", paths=str(tmp_path / "gone.csv"))),
    }
    output = tmp_path / "results/corpora/small/overlap/mine.json"
    made = measure_overlap(corpus, OverlapSettings(tasks=tasks), output, world.SCRIPT)
    assert made["tasks"] == {
        "plain": {"rows": 7, "too_short": 1, "shared": ["1", "4"]},
        "named": {"rows": 6, "too_short": 0, "shared": ["k1", "k4"]},
        "sets": {"rows": 6, "too_short": 0, "shared": ["k1/0", "k4/0"]},
        "gone": {"absent": f"{tmp_path}/gone.csv: the file does not exist; mend the source's `paths`"},
    }
    assert made["absent"].startswith("gone: ") and made["counts"]["documents"] == 2
    asked = Task(name="named", source=tasks["named"].source, id="key", kind="choice", prompt="q", options=("a", "q"))
    assert [item.id for item in open_task(asked).items()] == [f"k{number}" for number in range(6)]
    # more words in common than are wanted are needed where the n-gram is longer
    longer = measure_overlap(corpus, replace(OverlapSettings(tasks=tasks), ngram=30), output, world.SCRIPT)
    assert longer["tasks"]["plain"] == {"rows": 7, "too_short": 7, "shared": []}


def test_a_run_asks_for_the_overlap_of_its_corpora_with_its_own_tasks_unless_its_evaluation_says_no():
    nano = {"run": "nano"}

    def asked(overrides):
        return inputs.overlaps(Configuration(CONFIG, overrides), nano)

    assert asked("nano.evaluation.tasks=[arc_easy,copa]") == ["results/corpora/nano/overlap/facts.json"]
    assert asked("nano.evaluation.tasks=[arc_easy],evaluation.facts.contamination=false") == []
    assert asked("nano.evaluation.tasks=[copa]") == asked("") == []
    configured = Configuration(CONFIG, "nano.evaluation.tasks=[arc_easy,copa]")
    settings = job_settings(configured, "overlap", {"corpus": "nano", "evaluation": "facts"})
    assert list(settings["tasks"]) == ["arc_easy"] and "prompt" not in settings["tasks"]["arc_easy"]


@pytest.mark.parametrize(
    ("key", "scored", "looked_for"),
    [
        ("decontaminate=[question]", False, True),
        ("prompt='{{question}}'", True, False),
        ("description=x", False, False),
    ],
)
def test_a_key_of_a_task_reaches_the_jobs_that_it_decides_and_no_other(key, scored, looked_for):
    names = {"task": "arc_easy", "corpus": "small-a", "evaluation": "standard", "decontamination": "standard"}
    before, after = Configuration(CONFIG), Configuration(CONFIG, f"tasks.arc_easy.{key}")
    for job, wanted in (("task", scored), ("overlap", looked_for), ("decontamination", looked_for)):
        changed = deciding_settings(before, job, names) != deciding_settings(after, job, names)
        assert changed == wanted, job
