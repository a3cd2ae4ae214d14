"""A task's file is taken for what it says, and told with its line or key where it says what cannot be."""

import re
from pathlib import Path

import pytest

from abovo.config.runs import Configuration
from abovo.errors import AbovoError

CONFIG = Path(__file__).resolve().parent.parent / "config"
LOCAL = "source: {type: local, paths: a.jsonl}\n"
CHOICE = f"kind: choice\n{LOCAL}prompt: p\noptions: [a, b]\n"


@pytest.fixture
def task(tmp_path):
    """The task `mine` of a project's file, others beside it."""

    def make(text, overrides="", **others):
        folder = tmp_path / "evaluation/tasks"
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in {"mine": text, **others}.items():
            (folder / f"{name}.yaml").write_text(content)
        return Configuration(tmp_path, overrides, CONFIG).task("mine")

    return make


def test_a_copy_of_a_public_task_has_its_keys_and_its_own_source(task):
    made = task("like: hellaswag\nsource: {type: local, paths: [a.csv, b.csv]}\nfolder: data\nshots: 2\n")
    public = Configuration(CONFIG).task("hellaswag")
    assert made.source.paths == ("data/a.csv", "data/b.csv") and made.source.dataset is None
    assert (made.name, made.shots, made.prompt, made.options) == ("mine", 2, public.prompt, public.options)
    moved = task("like: piqa_files\n", "tasks.mine.folder=/data")
    assert moved.source.paths == ("/data/eval/piqa_valid.jsonl",)
    assert moved.source.labels == "/data/eval/valid-labels.lst"
    assert task(f"like: mid\n{LOCAL}", mid="like: boolq\nseparator: ''\n").separator == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (CHOICE.replace("options: [a, b]\n", ""), "key options: a task of kind choice needs `options`"),
        (CHOICE.replace("prompt: p\n", ""), "key prompt: a task of kind choice needs `prompt`"),
        (CHOICE.replace("prompt: p", "prompt: 'Q: {{p'"), "key prompt: 'Q: {{p' is no template: "),
        (CHOICE.replace("[a, b]", "a b"), "key options: 'a b' is no expression: "),
        (CHOICE + "answer: right ~\n", "key answer: 'right ~' is no expression: "),
        (CHOICE + "sets: [x, y]\n", "key sets: has sets, and a source without {set}"),
        (CHOICE.replace("choice", "minimal_pair").replace("[a, b]", "[a]"), "key options: a pair has two sentences"),
        (CHOICE + "shots_from: train\n", "key shots_from: names a split of the hub, and the source is local"),
        (CHOICE.replace("paths: a.jsonl", "split: x"), "key source: a source of type local needs `paths`"),
        (
            CHOICE.replace("choice", "generation") + "shots: 1\n",
            "key answer: a task of kind generation needs `answer`; set it; texts that are only to be read belong under"
            " `prompts` of the evaluation",
        ),
        (
            CHOICE + "metric: exact_match\n",
            "key metric: exact_match is no metric of kind choice; choose among accuracy, accuracy_per_character,",
        ),
        (CHOICE.replace("choice", "chioce"), "line 1, key kind: 'chioce' is not one of"),
        (CHOICE + "promt: x\n", "line 5, key promt: unknown key promt (did you mean prompt?)"),
        (f"like: helaswag\n{LOCAL}", "line 1, key like: there is no 'helaswag' in"),
        ("like: mine\n", "line 1, key like: files are like each other in a circle"),
    ],
)
def test_file_that_cannot_be_a_task_is_told(task, text, told):
    with pytest.raises(AbovoError) as error:
        task(text)
    assert f"evaluation/tasks/mine.yaml, {told}" in str(error.value)


def test_every_name_that_a_tasks_file_may_have_is_one_that_an_evaluation_and_a_path_of_results_can_say(root, tmp_path):
    (tmp_path / "evaluation/tasks").mkdir(parents=True)
    (tmp_path / "evaluation/tasks/my-quiz_2.yaml").write_text(CHOICE)
    (tmp_path / "evaluation/mine.yaml").write_text("prompts: [The]\ntasks: [my-quiz_2]\n")
    made = Configuration(tmp_path, "tasks.my-quiz_2.shots=1", CONFIG)
    (name,) = made.shared("evaluation", "mine").tasks
    assert made.has_task(name) and made.task(name).shots == 1
    wildcard = re.search('(?m)^    task="(.+)",$', (root / "Snakefile").read_text("utf-8"))
    assert re.fullmatch(wildcard[1], name)


def test_a_value_of_the_call_is_told_as_the_calls(task):
    with pytest.raises(AbovoError, match=r"^--config set, key tasks\.mine\.shots: -1 is less than the minimum"):
        task(CHOICE, "tasks.mine.shots=-1")
