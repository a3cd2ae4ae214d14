"""A model that was trained elsewhere is scored and writes like any other, and folders that hold none are told."""

import json
import shutil
from pathlib import Path

import pytest
import small_world as world
from small_scoring import two_layers_of_gpt2

from abovo.errors import AbovoError
from abovo.evaluation.assemble import assemble_evaluation
from abovo.evaluation.bench import Given
from abovo.evaluation.by_hand import evaluate_folder
from abovo.evaluation.evaluate import evaluate_task
from abovo.evaluation.given import describe_model
from abovo.evaluation.prepare import prepare_task
from abovo.evaluation.tasks import TASKS
from abovo.settings.stages import ByHand, TaskJob
from abovo.settings.task import Task, TaskSource


@pytest.fixture(scope="module")
def gpt2(small_folder, tmp_path_factory) -> Path:
    """A folder of a class that is none of our families, with the tokenizer of a small model beside it."""
    folder = tmp_path_factory.mktemp("given") / "gpt2"
    two_layers_of_gpt2(small_folder, folder)
    return folder


def quiz(folder: Path, sets: tuple[str, ...] = ("quiz",)) -> Task:
    rows = [
        {"q": f"What is {n}?", "o": [f"peace {n}", "the navy"], "a": n % 2, "s": sets[n % len(sets)]} for n in range(8)
    ]
    path = folder / "quiz.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    source = TaskSource(type="local", paths=str(path))
    column = "s" if len(sets) > 1 else None
    return Task(name="quiz", kind="choice", source=source, prompt="{{q}}", options="o", answer="a", set_column=column)


def scored(model, task, folder, **job):
    items = prepare_task(task, folder / "tasks/quiz/manifest.json", world.SCRIPT)
    settings = TaskJob(task="quiz", kind="items", **job)
    return evaluate_task(model, Given(items), settings, folder / "evaluation/quiz.json", world.SCRIPT)


def test_model_of_another_family_is_scored_and_writes(gpt2, tmp_path):
    model = describe_model(gpt2, None, tmp_path / "manifest.json", world.SCRIPT)
    assert (model["sequence_length"], model["model_type"]) == (64, "gpt2")
    settings = TaskJob(task="generations", kind="generations", prompts=("The nation", ""), new_tokens=5)
    written = evaluate_task(model, Given(), settings, tmp_path / "evaluation/generations.json", world.SCRIPT)
    evaluation = assemble_evaluation(
        [scored(model, quiz(tmp_path), tmp_path), written], [], tmp_path / "evaluation.json", world.SCRIPT
    )
    assert evaluation["metrics"]["quiz.accuracy"]["n"] == 8
    assert [one["prompt"] for one in evaluation["generations"]] == ["The nation", ""]
    assert all(1 <= one["tokens"] <= 5 for one in evaluation["generations"])


def test_set_with_the_name_of_its_task_is_one_of_its_sets(gpt2, tmp_path):
    model = describe_model(gpt2, None, tmp_path / "manifest.json", world.SCRIPT)
    made = scored(model, quiz(tmp_path, ("quiz", "other")), tmp_path)
    assert sorted(made["sets"]) == ["quiz.other", "quiz.quiz"]
    metrics = assemble_evaluation([made], [], tmp_path / "evaluation.json", world.SCRIPT)["metrics"]
    parts = [metrics[f"quiz.{name}.accuracy"]["value"] for name in ("quiz", "other")]
    assert metrics["quiz.accuracy"]["value"] == pytest.approx(sum(parts) / 2) and metrics["quiz.accuracy"]["sets"] == 2


def test_folders_that_hold_no_model_are_told(gpt2, tmp_path):
    def describe(context=None):
        describe_model(tmp_path / "model", context, tmp_path / "manifest.json", world.SCRIPT)

    with pytest.raises(AbovoError, match="holds no file"):
        (tmp_path / "model").mkdir()
        describe()
    shutil.copytree(gpt2, tmp_path / "model", dirs_exist_ok=True)
    with pytest.raises(AbovoError, match="a context of 65 tokens is longer than the model's 64 positions"):
        describe(65)
    (tmp_path / "model/tokenizer.json").unlink()
    with pytest.raises(AbovoError, match="holds no tokenizer"):
        describe()
    (tmp_path / "model/model.safetensors").rename(tmp_path / "model/pytorch_model.bin")
    with pytest.raises(AbovoError, match="its weights are a pickle"):
        describe()


def test_by_hand_a_bad_task_costs_itself_and_what_is_finished_stays(gpt2, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "config/evaluation/tasks"
    folder.mkdir(parents=True)
    (tmp_path / "bad.jsonl").write_text('{"q": "a", "o": ["b", "c"], "a": 7}\n')
    (tmp_path / "good.jsonl").write_text('{"q": "a", "o": ["b", "c"], "a": 1}\n')
    for name in ("bad", "good"):
        text = (
            f"kind: choice\nsource: {{type: local, paths: {name}.jsonl}}\nprompt: '{{{{q}}}}'\noptions: o\nanswer: a\n"
        )
        (folder / f"{name}.yaml").write_text(text)

    def evaluate(*tasks, output="out"):
        evaluate_folder(gpt2, tasks, ByHand(threads=1), Path("config"), Path(output), world.SCRIPT)

    with pytest.raises(AbovoError, match=r"bad\.jsonl, line 1: answer 7 is none of its 2 options"):
        evaluate("bad", "good")
    assert json.loads(Path("out/evaluation.json").read_text())["metrics"]["good.accuracy"]["n"] == 1
    assert not Path("out/evaluation/bad.json").exists()
    for task in (*TASKS, "held_out", "rows"):
        with pytest.raises(AbovoError, match=f"{task} is what every run is scored on; give the task another name"):
            evaluate(task)
    with pytest.raises(AbovoError, match="lies in the folder of the model"):
        evaluate("good", output=gpt2 / "out")
