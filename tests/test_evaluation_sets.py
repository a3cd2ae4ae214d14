"""Evaluation sets hold validation documents only, are balanced, and are the same in every order of work."""

import itertools
import json
from dataclasses import replace

import pytest
import small_world as world
import yaml

from abovo.corpus.shards import Document
from abovo.corpus.split import document_hash, is_validation
from abovo.errors import AbovoError
from abovo.evaluation.evaluation_sets import choose_documents, prepare_evaluation
from abovo.evaluation.held_out import items_of
from abovo.evaluation.tasks import TASKS, configured, data_file
from abovo.settings.evaluation import SetsJob
from abovo.settings.names import SHIPPED
from abovo.tokenizing.template_files import chat_template
from abovo.tokenizing.templates import form_of

SETTINGS = SetsJob(
    validation_bytes=8_000, facts=("era", "speech", "functions"), facts_per_document=5, offered_rows=30, yesno_rows=40,
    choice_rows=20,
)  # fmt: skip
CHATML = form_of(world.CHATML)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return world.make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def made(corpus):
    return prepare_evaluation(corpus, SETTINGS, corpus.path.parent.parent / "set/manifest.json", world.SCRIPT)


def rows(manifest, name):
    return [json.loads(line) for line in manifest.file(f"{name}.jsonl").read_text().splitlines()]


def test_every_row_comes_from_a_validation_document(corpus, made):
    held_out = {item.id: item.text for item in world.read_documents(corpus, "val")}
    for name in ("validation", "yesno", "choice", "era"):
        assert rows(made, name) and {row["id"] for row in rows(made, name)} <= held_out.keys()
    assert all(held_out[row["id"]] == row["text"] for row in rows(made, "validation"))


def test_validation_documents_are_whole_and_within_the_budget(made):
    found = rows(made, "validation")
    assert all(row["bytes"] == len(row["text"].encode()) for row in found)
    assert 6_000 < sum(row["bytes"] for row in found) <= 8_000


def test_choice_of_documents_does_not_depend_on_their_order():
    items = world.documents()
    assert choose_documents(items, 5_000) == choose_documents(reversed(items), 5_000)


def test_documents_of_equal_ids_in_two_sources_are_both_chosen_in_one_order():
    items = [Document("a.jsonl#00000001", f"text of {source}", source, 3) for source in ("x", "y", "z")]
    orders = [choose_documents(order, 1000) for order in itertools.permutations(items)]
    assert all(order == orders[0] for order in orders) and len(orders[0]) == 3
    assert [len(choose_documents(items, size)) for size in (10, 20)] == [1, 2]


def test_questions_are_balanced_and_never_asked_twice(made):
    yesno = rows(made, "yesno")
    assert sum(row["label"] for row in yesno) * 2 == len(yesno)
    assert {row["source"] for row in yesno} == {"speeches", "docstrings"}
    for name in ("yesno", "choice"):
        assert len({row["question"] for row in rows(made, name)}) == len(rows(made, name))


def test_questions_that_offer_their_answers_have_each_equally_often(made):
    found = rows(made, "era")
    labels = [row["label"] for row in found]
    assert labels.count(0) == labels.count(1) == len(found) / 2 and 4 <= len(found) <= SETTINGS.offered_rows
    for row in found:
        assert row["options"][row["label"]] == ("Before." if int(row["id"].split("/")[1][:4]) < 1900 else "Later.")


def test_options_are_four_different_answers_of_one_family(made):
    presidents = {"George Washington", "Abraham Lincoln", "William Howard Taft", "John F. Kennedy", "Andrew Jackson",
                  "Ronald Reagan"}  # fmt: skip
    for row in rows(made, "choice"):
        assert len(set(row["options"])) == 4 and row["label"] in range(4)
        assert set(row["options"]) <= presidents or not set(row["options"]) & presidents
    assert len({row["label"] for row in rows(made, "choice")}) == 4


def test_right_option_follows_from_the_document(corpus, made):
    texts = {item.id: item.text for item in world.read_documents(corpus, "val")}
    surnames = {
        row["id"]: row["options"][row["label"]].split()[-1] for row in rows(made, "choice") if "sotu" in row["id"]
    }
    assert surnames and all(f"-{surname}-" in name for name, surname in surnames.items())
    for row in rows(made, "choice"):
        if "sotu" not in row["id"]:
            assert row["options"][row["label"]] in texts[row["id"]]


def test_task_files_name_the_data_beside_them(made):
    assert made["tasks"] == list(TASKS)
    for task in made["tasks"]:
        config = yaml.safe_load(made.file(f"{task}.yaml").read_text())
        assert made.file(config["dataset_kwargs"]["data_files"]["test"])


def test_items_are_worded_as_the_tasks_beside_them_and_lines_end_at_newlines_alone(made):
    for task in made["tasks"]:
        items = list(items_of(made, task, task, CHATML))
        lines = made.file(data_file(task)).read_bytes().decode().split("\n")[:-1]
        rows, config = [json.loads(line) for line in lines], configured(task, CHATML)
        assert len(items) == len(rows)
        for item, row in zip(items, rows, strict=True):
            if task == "validation":
                assert item.options == (row["text"],)
                continue
            choice, blank = config.get("doc_to_choice", "options"), config.get("target_delimiter", "")
            choices = row["options"] if choice == "options" else choice
            assert item.options == tuple(f"{blank}{one}" for one in choices)
            assert set(item.contexts) == {config["doc_to_text"].replace("{{question}}", row["question"])}
            assert item.gold == row["label"]


@pytest.mark.parametrize("name", ["chatml", "alpaca", "llama3"])
def test_questions_in_a_chat_are_asked_in_the_words_of_the_template(name):
    form = form_of(chat_template(name, SHIPPED))
    for task in TASKS:
        prompt = configured(task, form)["doc_to_text"]
        if task.endswith(("_chat", "_written")):
            assert prompt.replace("{{question}}", "Who?") == form.ask("Who?")
        else:
            assert prompt in ("", "Question: {{question}}\nAnswer:")


def test_without_facts_there_are_documents_only(corpus, tmp_path):
    made = prepare_evaluation(corpus, replace(SETTINGS, facts=()), tmp_path / "manifest.json", world.SCRIPT)
    assert made["tasks"] == ["validation"] and set(made["counts"]) == {"validation"}


def test_corpus_without_facts_or_without_validation_is_named(tmp_path):
    plain = [world.Document(f"file#{n}", f"Some words of document {n}.", "local", 9) for n in range(99)]
    corpus = world.make_corpus(tmp_path / "plain", plain)
    with pytest.raises(AbovoError, match=r"give no yesno question; set facts: \[\]"):
        prepare_evaluation(corpus, SETTINGS, tmp_path / "a/manifest.json", world.SCRIPT)
    corpus = world.make_corpus(tmp_path / "train", plain, share=0.0)
    with pytest.raises(AbovoError, match="no document fell into the validation split"):
        prepare_evaluation(corpus, SETTINGS, tmp_path / "b/manifest.json", world.SCRIPT)
    assert not (tmp_path / "a/manifest.json").exists()


def test_sources_that_are_not_evaluated_are_named_with_the_reason(tmp_path, caplog):
    items = [Document(f"a{number}", f"text {number}", "a", 3) for number in range(60)]
    texts = [f"{number} " + "long " * 200 for number in range(99)]
    items.append(Document("b", next(text for text in texts if _held_out(text)), "b", 3))
    items.append(Document("c", next(text for text in texts if not _held_out(text)), "c", 3))
    corpus = world.make_corpus(tmp_path, items, name="uneven", sources=("a", "b", "c"))
    settings = replace(SETTINGS, facts=(), validation_bytes=100)
    made = prepare_evaluation(corpus, settings, tmp_path / "set/manifest.json", world.SCRIPT)
    beyond, none = "its held-out documents are beyond validation_bytes", "none of its documents is held out"
    assert made["not_evaluated"] == {"b": beyond, "c": none}
    assert [record.getMessage().split(" ")[1] for record in caplog.records if "not evaluated" in record.message] == [
        "b", "c",
    ]  # fmt: skip


def _held_out(text):
    return is_validation(document_hash(text), 0.3)
