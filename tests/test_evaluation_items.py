"""A row of a task becomes an item, whatever kind of file or data set it is from, or one line that names it."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from hub_server import Hub
from small_tasks import CONFIG, task_on

from abovo.config.runs import Configuration
from abovo.errors import AbovoError, Unreachable
from abovo.evaluation.items import open_task
from abovo.settings.task import TaskSource


def test_drawn_examples_depend_on_the_seed_alone_and_are_never_the_row_itself(tmp_path):
    rows = [{"passage": f"p{number}", "question": f"q{number}", "label": number % 2} for number in range(30)]

    def contexts(seed):
        task = task_on(tmp_path / "rows.jsonl", rows, "boolq", shots=3, shots_seed=seed)
        return [item.contexts[0] for item in open_task(task).items()]

    first = contexts(1)
    assert first == contexts(1) != contexts(2)
    for number, text in enumerate(first):
        assert text.count("Answer: ") == 3 and text.count(f"Question: q{number}?") == 1
    with pytest.raises(AbovoError, match="has 30 rows, too few for 30 examples"):
        list(open_task(task_on(tmp_path / "rows.jsonl", rows, "boolq", shots=30)).items())


SIX_LINES = {
    "choice": """kind: choice
source: {{type: local, paths: {path}}}
prompt: "Question: {{{{question}}}}\\nAnswer:"
options: [a, b, c]
answer: right
""",
    "yes_no": 'kind: yes_no\nsource: {{type: local, paths: {path}}}\nprompt: "{{{{question}}}}?"\nanswer: right\n',
    "minimal_pair": "kind: minimal_pair\nsource: {{type: local, paths: {path}}}\noptions: [good, bad]\n",
}


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
@pytest.mark.parametrize(
    ("kind", "header", "rows", "expected"),
    [
        (
            "choice", ["question", "a", "b", "c", "right"],
            [["One?", "x", "y", "z", "y"], ["Two, then?", "x", "y", "z", "C"], ["Three?", "u", "v", "w", "0"]],
            [1, 2, 0],
        ),
        ("yes_no", ["question", "right"], [["so", "True"], ["no", "no"], ["yes", "1"]], [1, 0, 1]),
        ("minimal_pair", ["good", "bad"], [["She sings.", "She sing."]], [0]),
    ],
)  # fmt: skip
def test_users_own_file_is_a_task_by_six_lines(tmp_path, ending, kind, header, rows, expected):
    path = tmp_path / f"mine.{ending}"
    if ending == "csv":
        path.write_text("\n".join(",".join(f'"{cell}"' for cell in row) for row in [header, *rows]) + "\n")
    else:
        path.write_text("".join(json.dumps(dict(zip(header, row, strict=True))) + "\n" for row in rows))
    (tmp_path / "evaluation/tasks").mkdir(parents=True)
    text = SIX_LINES[kind].format(path=path)
    assert text.count("\n") <= 6
    (tmp_path / "evaluation/tasks/mine.yaml").write_text(text)
    items = list(open_task(Configuration(tmp_path, "", CONFIG).task("mine")).items())
    assert [item.gold for item in items] == expected
    assert [item.set for item in items] == ["mine"] * len(rows)
    assert all(option.startswith(" ") for item in items for option in item.options)


GOOD = {"question": "q", "a": "x", "b": "y", "c": "z", "right": "y"}


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{**GOOD, "right": "w"}], "answer 'w' is none of its 3 options"),
        ([{**GOOD, "right": 3}], "answer 3 is none of its 3 options"),
        ([{**GOOD, "right": -1}], "answer -1 is none of its 3 options"),
        ([{**GOOD, "right": None}], "answer None is none of its 3 options"),
        ([{**GOOD, "a": "1", "b": "0", "right": "1"}], "answer '1' may mean several options (0, 1)"),
        ([{**GOOD, "a": 1, "b": 2, "c": 0, "right": 1}], "answer 1 may mean several options (0, 1)"),
        ([{**GOOD, "c": "x"}], "options 0 and 2 are equal ('x')"),
        ([{**GOOD, "c": " x\n"}], "options 0 and 2 are equal ('x')"),
        ([{**GOOD, "b": " "}], "an option is empty"),
        ([{**GOOD, "b": ["y"]}], "column 'b' holds list, not text"),
        ([{**GOOD, "b": None}], "column 'b' holds nothing (null)"),
        ([{"a": "x", "b": "y", "c": "z", "right": "y"}], "no column 'question' (has: a, b, c, right)"),
        ([{"question": "q", "b": "y", "c": "z", "right": "y"}], "no column 'a' (has: b, c, question, right)"),
        ([{"question": "q", "A": "x", "B": "y", "right": 0}], "no column 'a' (has: A, B, question, right)"),
    ],
)  # fmt: skip
def test_row_that_cannot_be_scored_is_named_with_its_file_and_line(tmp_path, rows, told):
    task = task_on(
        tmp_path / "rows.jsonl", [GOOD, *rows], "piqa", prompt="{{question}}", options=("a", "b", "c"), answer="right",
        equal_options="refuse",
    )  # fmt: skip
    with pytest.raises(AbovoError) as error:
        list(open_task(task).items())
    assert not isinstance(error.value, Unreachable)
    assert str(error.value).startswith(f"{tmp_path}/rows.jsonl, line 2: {told}")


def test_generation_has_an_answer_in_every_row_and_after_its_examples(tmp_path):
    rows = [{"q": "one", "a": 1}, {"q": "two", "a": 2}]
    keys = {"kind": "generation", "prompt": "{{q}}?", "answer": "a", "document": (), "shots": 1}
    items = list(open_task(task_on(tmp_path / "rows.jsonl", rows, "boolq", **keys)).items())
    assert [item.contexts for item in items] == [("two? 2\n\none?",), ("one? 1\n\ntwo?",)]
    assert [(item.options, item.answer) for item in items] == [((), "1"), ((), "2")]
    with pytest.raises(AbovoError, match="line 2: `answer` is empty"):
        list(open_task(task_on(tmp_path / "rows.jsonl", [rows[0], {"q": "two", "a": " "}], "boolq", **keys)).items())


def test_number_of_a_file_is_an_options_number_or_its_text_and_that_of_an_expression_its_number(tmp_path):
    rows = [{"a": 1, "b": 2, "c": 0, "right": 1}, {"a": 10, "b": "20.0", "c": 30, "right": 20}]
    choice = {"prompt": "q", "options": ("a", "b", "c"), "document": ()}

    def golds(rows, answer):
        task = task_on(tmp_path / "rows.jsonl", [{"q": "q", **row} for row in rows], "piqa", answer=answer, **choice)
        return [item.gold for item in open_task(task).items()]

    assert golds(rows[1:], "right") == [1]
    assert golds(rows[:1], "right | int") == [1] and golds(rows[:1], "options.index(right | string)") == [0]
    for wrong, answer, told in (
        (rows[0], "row['right']", r"answer 1 may mean several options \(0, 1\)"),
        ({**rows[0], "right": "B"}, "right | int", r"cannot be rendered \(invalid literal for int"),
    ):
        with pytest.raises(AbovoError, match=f"line 1: {told}"):
            golds([wrong], answer)


def test_letter_of_an_answer_may_be_small_where_no_option_has_it_as_its_text(tmp_path):
    texts = (("Rome", "Oslo", "b"), ("Rome", "Oslo", "A"), ("x", "a", "a"))
    rows = [{"q": "q", "a": a, "b": b, "right": right} for a, b, right in texts]
    keys = {"prompt": "q", "options": ("a", "b"), "answer": "right", "document": ()}
    task = task_on(tmp_path / "rows.jsonl", rows, "piqa", **keys)
    assert [item.gold for item in open_task(task).items()] == [1, 0, 1]


@pytest.mark.parametrize("options", [("no", "yes"), ("in part", "{{whole}}")])
def test_words_of_a_list_are_columns_in_every_row_and_fixed_words_are_an_expression(tmp_path, options):
    rows = [{"question": "q", "whole": "w", "right": 1}]
    path = tmp_path / "rows.jsonl"
    fixed = task_on(path, rows, "boolq", prompt="{{question}}", options=str(list(options)), answer="right", document=())
    assert [item.options for item in open_task(fixed).items()] == [tuple(f" {option}" for option in options)]
    with pytest.raises(AbovoError) as error:
        list(open_task(replace(fixed, options=options)).items())
    told = f"rows.jsonl, line 1: no column '{options[0]}' (has: question, right, whole)"
    assert told in str(error.value) and "options: \"['no', 'yes']\"" in str(error.value)


@pytest.mark.parametrize(("value", "told"), [(None, "a value is null"), (["q"], "a value is of type list, not text")])
def test_no_word_of_python_gets_into_a_prompt(tmp_path, value, told):
    rows = [{"goal": value, "sol1": "a", "sol2": "b", "label": 0}]
    with pytest.raises(AbovoError, match=rf"rows\.jsonl, line 1: cannot be rendered \({told}\)"):
        list(open_task(task_on(tmp_path / "rows.jsonl", rows, "piqa")).items())


def test_no_rows_and_odd_numbers_of_labels_are_told(tmp_path):
    task = Configuration(CONFIG).task("piqa")
    for name, content in (("rows.csv", "goal,sol1,sol2\n"), ("rows.jsonl", ""), ("rows.json", "[]")):
        (tmp_path / name).write_text(content)
        empty = replace(task, source=TaskSource(type="local", paths=str(tmp_path / name)))
        with pytest.raises(AbovoError, match=rf"{name}: empty file"):
            list(open_task(empty).items())
    (tmp_path / "rows.csv").write_text("goal,sol1,sol2\ng,a,b\nh,c,d\n")
    labels = tmp_path / "labels.lst"
    source = TaskSource(type="local", paths=str(tmp_path / "rows.csv"), labels=str(labels))
    for lines, told in (("1\n", "has 1 lines, and no label"), ("1\n0\n1\n", "has 3 lines for 2 rows")):
        labels.write_text(lines)
        with pytest.raises(AbovoError, match=told):
            list(open_task(replace(task, source=source)).items())
    labels.write_text("1\n0\n")
    opened = open_task(replace(task, source=source))
    assert [item.gold for item in opened.items()] == [1, 0]
    assert opened.revision["piqa"]["labels"]["bytes"] == 4


def test_what_is_not_there_is_told_apart_from_what_is_wrong(tmp_path):
    task = Configuration(CONFIG).task("piqa")
    for source in (
        TaskSource(type="local", paths=str(tmp_path / "gone.jsonl")),
        TaskSource(type="local", paths=str(CONFIG / "config.yaml"), labels="gone"),
    ):
        with pytest.raises(AbovoError) as error:
            open_task(replace(task, source=source))
        assert isinstance(error.value, Unreachable) == str(error.value).startswith(f"{tmp_path}/gone")


FROM_HUB = """
import json, sys
from dataclasses import replace
from abovo.config.runs import Configuration
from abovo.errors import AbovoError
from abovo.evaluation.items import open_task

blimp = Configuration().task("blimp")
for line in sys.stdin:
    said = json.loads(line)
    shots = {"shots": 1, "shots_from": said.pop("shots_from")} if "shots_from" in said else {}
    task = replace(blimp, **shots, sets=tuple(said.pop("sets")), source=replace(blimp.source, give_up=0.2, **said))
    try:
        opened = open_task(task)
        items = [[item.set, *item.contexts[:1], *item.options] for item in opened.items()]
        found = items, [one.get("sha") for one in opened.revision.values()]
    except AbovoError as error:
        found = [type(error).__name__, str(error)]
    print(json.dumps(found), flush=True)
"""


@pytest.mark.slow
def test_rows_of_the_hub_are_read_at_one_commit_and_a_hub_out_of_reach_is_told_apart(tmp_path):
    """In a process of its own, since the library reads the hub's address when it is imported."""
    rows = {name: {"sentence_good": f"{name} is.", "sentence_bad": f"{name} are."} for name in ("one", "two")}
    files = {f"{name}.jsonl": json.dumps(row).encode() + b"\n" for name, row in rows.items()}
    files["dev.jsonl"] = b'{"sentence_good": "It is.", "sentence_bad": "It are."}\n'
    splits = "  - split: {}\n    path: {}.jsonl\n"
    parts = {name: splits.format("train", name) + splits.format("dev", "dev") for name in rows}
    configs = "".join(f"- config_name: {name}\n  data_files:\n{part}" for name, part in parts.items())
    with Hub() as hub:
        sha = hub.publish("nyu-mll/blimp", {**files, "README.md": f"---\nconfigs:\n{configs}---\n".encode()})
        env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path)} | {"HF_HUB_OFFLINE": "0"}
        process = subprocess.Popen(
            [sys.executable, "-c", FROM_HUB], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True
        )

        def ask(*sets, **source):
            process.stdin.write(json.dumps({"sets": sets, "revision": "main", **source}) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        read = [["one", "", " one is.", " one are."], ["two", "", " two is.", " two are."]]
        assert ask("one", "two") == [read, [sha, sha]]
        with_example = [["one", " It is.\n\n", " one is.", " one are."]]
        assert ask("one", shots_from="dev")[0] == with_example
        for kind, told, sets, source in (
            ("AbovoError", "no split 'test'", ("one",), {"split": "test"}),
            ("AbovoError", "three", ("three",), {}),
            ("AbovoError", "no revision 'v9'", ("one",), {"revision": "v9"}),
            ("Unreachable", "does not know it", ("one",), {"dataset": "nyu-mll/other"}),
        ):
            found = ask(*sets, **source)
            assert found[0] == kind and told in found[1], found
    found = ask("one")
    assert found[0] == "Unreachable" and "data set nyu-mll/blimp" in found[1]
    process.stdin.close()
    process.wait()


def test_sets_are_files_of_their_names_or_values_of_a_column(tmp_path):
    for name in ("hypernym", "turn_taking"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"sentence_good": name, "sentence_bad": "b"}) + "\n")
    task = Configuration(CONFIG).task("blimp_supplement")
    source = TaskSource(type="local", paths=str(tmp_path / "{set}.jsonl"))
    opened = open_task(replace(task, source=source, sets=("hypernym", "turn_taking")))
    assert [(item.set, item.id, item.options[0]) for item in opened.items()] == [
        ("hypernym", "0", "hypernym"), ("turn_taking", "0", "turn_taking"),
    ]  # fmt: skip
    pair = {"Context1": "It rains.", "Context2": "It shines.", "Target1": "Wet.", "Target2": "Dry."}
    rows = [{**pair, "Domain": "weather-a"}, {**pair, "Context1": "Hail.", "Domain": "b"}]
    items = list(open_task(task_on(tmp_path / "ewok.jsonl", rows, "ewok_hub")).items())
    assert [item.set for item in items] == ["weather-a", "b"]
    both = replace(task_on(tmp_path / "ewok.jsonl", rows, "ewok"))
    both = replace(both, source=replace(both.source, rows="both_ways"))
    items = list(open_task(both).items())
    assert [(item.set, item.id) for item in items] == [("weather-a", "0"), ("weather-a", "1"), ("b", "0"), ("b", "1")]
    assert [(item.contexts[0], *item.options) for item in items[:2]] == [
        ("It rains.", " Wet.", " Dry."), ("It shines.", " Dry.", " Wet."),
    ]  # fmt: skip
    assert items[0].document == items[1].document != items[2].document


def test_two_rows_of_one_name_and_files_of_another_kind_are_told(tmp_path):
    rows = [{"key": key, "goal": "g", "sol1": "a", "sol2": "b", "label": 0} for key in ("x", "y", "x")]
    with pytest.raises(AbovoError, match=r"rows\.jsonl, line 3: is named 'x' as the row at \S*rows\.jsonl, line 1 is"):
        list(open_task(task_on(tmp_path / "rows.jsonl", rows, "piqa", id="key")).items())
    pages = TaskSource(type="local", paths=str(tmp_path / "rows.jsonl"), rows="pages")
    labels = TaskSource(type="local", paths=str(tmp_path / "rows.jsonl"), labels=str(tmp_path / "labels"))
    (tmp_path / "labels").write_bytes(b"\xff\n")
    for name, source, told in (("wikitext", pages, "line 1: is no line of WikiText"), ("piqa", labels, "not UTF-8")):
        with pytest.raises(AbovoError, match=told):
            list(open_task(replace(Configuration(CONFIG).task(name), source=source)).items())
