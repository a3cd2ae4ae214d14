"""The rows of a public task become the texts that lm-eval's task of that name makes of them."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from small_tasks import CONFIG, task_on

from abovo.config.runs import Configuration
from abovo.corpus.task_rows import of_set
from abovo.evaluation.items import open_task
from abovo.settings.task import TaskSource

FOUR = {"text": ["a newt", "the frog ", "a toad", "an eft"], "label": ["A", "B", "C", "D"]}
PAGE = """ = River Foo =

 The " river " rises near Bar ( a town ) at 1 @.@ 5 km , then it 's broad @-@ shouldered ; 3 @,@ 000 N cows ' drink ' .

 = = Course = =

 It was hot : 30 ° . Who knows ? Nobody ! The ships ' crew [ all of it ] left { at once } .
"""
# Stock task -> its file below lm_eval/tasks, and rows of its columns with what its texts may trip over.
STOCK = {
    "hellaswag": (
        "hellaswag/hellaswag.yaml",
        [
            {
                "activity_label": "Pole [header] vault", "ctx_a": "A man jumps. [title] How", "ctx_b": "a few women",
                "ctx": "A man jumps.", "endings": [" go [step] down.", "watch  it.", "sing", "sing"], "label": "3",
                "source_id": "film 1",
            },
            {
                "activity_label": "Baking", "ctx_a": "Stir [substeps] well.", "ctx_b": "", "ctx": "Stir well.",
                "endings": ["Then é rest", "Then run", "Then hide", "Then wait"], "label": "0", "source_id": "film 1",
            },
        ],
    ),
    "arc_easy": (
        "arc/arc_easy.yaml",
        [
            {"id": "x1", "question": "Which is red?", "choices": FOUR, "answerKey": "C"},
            {
                "id": "x2", "question": "How many?\n", "answerKey": "2",
                "choices": {"text": ["1", "3", "2"], "label": ["1", "2", "3"]},
            },
        ],
    ),
    "arc_challenge": (
        "arc/arc_challenge.yaml",
        [{"id": "x1", "question": "Which?", "choices": FOUR, "answerKey": "D"}],
    ),
    "piqa": (
        "piqa/piqa.yaml",
        [
            {"goal": "How do I dry a sock?", "sol1": "Hang it. ", "sol2": " Drown it.", "label": 0},
            {"goal": " dresser", "sol1": "It's one", "sol2": 'It is "two"', "label": 1},
        ],
    ),
    "winogrande": (
        "winogrande/default.yaml",
        [
            {"sentence": "Ann met Bea, so _ was glad.", "option1": "Ann", "option2": "Bea", "answer": "1"},
            {"sentence": "_ left _ behind . ", "option1": "Ann", "option2": "Bea", "answer": "2"},
        ],
    ),
    "openbookqa": (
        "openbookqa/openbookqa.yaml",
        [{"id": "7-1", "question_stem": "Frogs start as", "choices": FOUR, "answerKey": " B"}],
    ),
    "boolq": (
        "super_glue/boolq/default.yaml",
        [
            {"passage": "Foo -- Foo is a bar.", "question": "is foo a bar", "label": 1},
            {"passage": "Foo -- Foo is a bar.", "question": "is bar a foo", "label": 0},
        ],
    ),
    "sciq": (
        "sciq/sciq.yaml",
        [
            {
                "support": " Ice is cold.", "question": "What is cold?", "distractor1": "fire", "distractor2": "tea",
                "distractor3": "1", "correct_answer": "ice",
            },
            {
                "support": "", "question": "Who?", "distractor1": "a", "distractor2": "b", "distractor3": "b",
                "correct_answer": "c",
            },
        ],
    ),
    "blimp": (
        "blimp/adjunct_island.yaml",
        [{"sentence_good": "Who left?", "sentence_bad": "Who did leave who?", "UID": "adjunct_island"}],
    ),
    "lambada_openai": (
        "lambada/lambada_openai.yaml",
        [{"text": "\"Give me  it,\" said Ann.\nShe gave it to the dog."}, {"text": "two words"}],
    ),
    "wikitext": ("wikitext/wikitext.yaml", [{"page": PAGE}, {"page": " = Bar =\n"}]),
}  # fmt: skip


def lm_eval_tasks():
    import lm_eval.tasks

    return Path(lm_eval.tasks.__file__).parent


def stock_config(file):
    from lm_eval.tasks._yaml_loader import load_yaml

    return load_yaml(lm_eval_tasks() / file)


def stock_task(file, rows):
    """lm-eval's own task object on these rows."""
    import datasets
    from lm_eval.api.task import ConfigurableTask

    config = stock_config(file)
    data = datasets.Dataset.from_list(rows)
    splits = dict.fromkeys(("train", "validation", "test"), data)
    return ConfigurableTask(config={**config, "custom_dataset": lambda **_: splits, "dataset_kwargs": {}})


def stock_items(task, shots=0):
    """Per row the (context, continuation) pairs that lm-eval asks for, and the number of the right one."""
    for row in task.eval_docs:
        context = task.fewshot_context(row, shots)
        asked = task.construct_requests(row, context)
        pairs = [one.args for one in asked] if isinstance(asked, list) else [asked.args]
        gold = task.doc_to_text(row) if task.multiple_input else task.doc_to_target(row)
        yield row, pairs, gold


@pytest.mark.parametrize("name", STOCK)
def test_texts_are_those_of_the_stock_task(tmp_path, name):
    pytest.importorskip("lm_eval")
    file, rows = STOCK[name]
    items = list(open_task(task_on(tmp_path / "rows.jsonl", rows, name)).items())
    stock = stock_task(file, rows)
    assert len(items) == len(rows)
    for item, (row, pairs, gold) in zip(items, stock_items(stock), strict=True):
        if name == "wikitext":
            assert [item.options] == pairs
            divided = stock.process_results(row, (-1.0,))
            assert item.sizes == {"bytes": divided["bits_per_byte"][1], "words": divided["word_perplexity"][1]}
            continue
        assert list(zip(item.contexts, item.options, strict=True)) == pairs
        assert item.gold == (0 if name == "lambada_openai" else int(gold))


@pytest.mark.parametrize("name", STOCK)
def test_rows_are_those_that_the_stock_task_scores_at_a_commit(name):
    pytest.importorskip("lm_eval")
    stock, task = stock_config(STOCK[name][0]), Configuration(CONFIG).task(name)
    scored = stock.get("test_split") or stock["validation_split"]
    config = of_set(task.source, task.sets[0]).config if task.sets else task.source.config
    found = (task.source.dataset, config, task.source.split)
    assert found == (stock["dataset_path"], stock.get("dataset_name"), scored)
    assert re.fullmatch("[0-9a-f]{40}", task.source.revision)
    if name == "blimp":
        group = (lm_eval_tasks() / "blimp/_blimp.yaml").read_text()
        assert re.findall(r'- "blimp_(\w+)"', group) == list(task.sets)


def test_examples_stand_before_a_prompt_as_in_lm_eval(tmp_path):
    pytest.importorskip("lm_eval")
    file, rows = STOCK["boolq"]
    items = list(open_task(task_on(tmp_path / "rows.jsonl", rows, "boolq", shots=1)).items())
    other = [f"{row['passage']}\nQuestion: {row['question']}?\nAnswer: {('no', 'yes')[row['label']]}" for row in rows]
    for item, before, (_, pairs, _) in zip(items, reversed(other), stock_items(stock_task(file, rows), 1), strict=True):
        assert set(item.contexts) == {f"{before}\n\n{pairs[0][0].partition(chr(10) * 2)[2]}"}
        assert any(pairs[0][0].startswith(f"{one}\n\n") for one in other)


def test_file_of_wikitext_becomes_its_articles_byte_by_byte(tmp_path):
    text = f" \n{PAGE}\n = Bar =\n\n Text with \u2028 a separator .\r\n"
    (tmp_path / "wiki.test.raw").write_bytes(text.encode())
    source = TaskSource(type="local", paths=str(tmp_path / "wiki.test.raw"), rows="pages")
    task = replace(Configuration(CONFIG).task("wikitext"), source=source, text="page", size_of=None)
    items = list(open_task(task).items())
    assert [item.options[0][:11] for item in items] == [" = River Fo", " = Bar =\n\n "]
    assert " \n" + "\n".join(item.options[0] for item in items) == text


def test_rows_of_one_document_have_its_name_and_others_none(tmp_path):
    rows = STOCK["sciq"][1]
    items = list(open_task(task_on(tmp_path / "rows.jsonl", rows, "sciq")).items())
    assert [item.document for item in items] == [" Ice is cold.", None]
