"""Tasks and groups of lm-eval's own, scored by our engine: lm-eval's values, and what each stands on."""

import json

import pytest
import small_world as world
import yaml
from small_scoring import NEAR, harness

from abovo.errors import AbovoError
from abovo.evaluation.scorer import Scorer


@pytest.fixture(scope="module")
def lm_eval_tasks(tmp_path_factory):
    """A folder with a group of a task of each kind, over rows of a file, in lm-eval's own keys."""
    folder = tmp_path_factory.mktemp("tasks")
    rows = [
        {
            "q": f"What of {one} and {two}?",
            "options": [f"the {one}", two, "law"],
            "label": n % 3,
            "text": f"{one} of {two}",
        }
        for n, (one, two) in enumerate(zip(world.WORDS, world.WORDS[4:], strict=False))
    ]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    common = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(path)}}, "test_split": "test"}

    def task(name, kind, text, target, metrics, **more):
        asked = {"doc_to_text": text, "doc_to_target": target, "metric_list": [{"metric": one} for one in metrics]}
        return {**common, "task": name, "output_type": kind, **asked, **more}

    choice = {"doc_to_choice": "options", "num_fewshot": 2, "fewshot_split": "test", "metadata": {"version": 3}}
    gone = {"dataset_kwargs": {"data_files": {"test": str(folder / "gone.jsonl")}}}
    written = {"generation_kwargs": {"until": [" and"], "max_gen_toks": 9}}
    tasks = [
        task("mine_choice", "multiple_choice", "{{q}}", "label", ["acc", "acc_norm", "brier_score"], **choice),
        task("mine_last", "loglikelihood", "{{q}}", " {{text}}", ["acc", "perplexity"]),
        task("mine_rolling", "loglikelihood_rolling", "", "text", ["bits_per_byte", "word_perplexity"]),
        task("mine_written", "generate_until", "{{q}}", "{{text}}", ["exact_match"], **written),
        task("mine_odd", "multiple_choice", "{{q}}", "label", ["brier_score"], **choice),
        {**task("mine_gone", "multiple_choice", "{{q}}", "label", ["acc"], **choice), **gone},
        {"group": "mine", "task": ["mine_choice", "mine_last", "mine_rolling", "mine_written"]},
    ]
    for one in tasks:
        (folder / f"{one.get('task', 'mine') if 'group' not in one else 'group'}.yaml").write_text(yaml.safe_dump(one))
    return folder


@pytest.mark.parametrize("kind", ["ours", pytest.param("gpt2", marks=pytest.mark.slow)])
def test_a_group_of_lm_evals_own_tasks_has_the_scores_and_texts_that_lm_eval_finds(kind, request, lm_eval_tasks):
    import lm_eval
    from lm_eval.tasks import TaskManager

    from abovo.evaluation.harness import score_harness

    opened = request.getfixturevalue(kind)
    manager = TaskManager(include_path=str(lm_eval_tasks), include_defaults=False)
    stock = lm_eval.simple_evaluate(model=harness(opened), tasks=["mine"], task_manager=manager, bootstrap_iters=0)
    found = score_harness(Scorer(opened, 8), "mine", lm_eval_tasks)
    assert found.absent is None and len(found.sets) == 4
    metrics = {"acc": "accuracy", "acc_norm": "accuracy_per_character", "exact_match": "exact_match"}
    for scored in found.sets:
        name, samples = scored.name, sorted(stock["samples"][scored.name], key=lambda sample: sample["doc_id"])
        assert [row["id"] for row in scored.rows] == [str(sample["doc_id"]) for sample in samples]
        for row, sample in zip(scored.rows, samples, strict=True):
            nats = [response[0][0] if isinstance(response[0], tuple) else response[0] for response in sample["resps"]]
            if name == "mine_written":
                assert row["prediction"] == nats[0] and " and" not in row["prediction"]
            else:
                assert [one["log_likelihood"] for one in row["options"]] == pytest.approx(nats, abs=NEAR)
            for theirs in set(metrics) & set(sample["metrics"]):
                assert row["scores"][metrics[theirs]] == [float(sample[theirs]), 1.0]
    choice, last, rolling, _ = found.sets
    assert (choice.shots, choice.version, choice.left_out, choice.kind) == (2, "3", ("brier_score",), "choice")
    assert last.shots == 0 and len(choice.sha256) == 64 != last.sha256
    parts, wholes = zip(*(row["scores"]["bits_per_byte"] for row in rolling.rows), strict=True)
    expected = stock["results"]["mine_rolling"]["bits_per_byte,none"]
    assert sum(parts) / sum(wholes) == pytest.approx(expected, rel=1e-6)


def test_a_task_of_lm_evals_that_cannot_be_scored_says_why(ours, lm_eval_tasks):
    from abovo.evaluation.harness import score_harness

    scorer = Scorer(ours, 8)
    found = score_harness(scorer, "mine_gone", lm_eval_tasks)
    assert not found.sets and "gone.jsonl" in found.absent
    with pytest.raises(
        AbovoError, match=r"task mine_odd of lm-eval: its metrics \(brier_score\) are none that rows add"
    ):
        score_harness(scorer, "mine_odd", lm_eval_tasks)


def test_a_group_of_lm_evals_is_found_without_reading_all_of_its_tasks():
    from abovo.evaluation.harness import _folder_of, _is_whole, _manager

    assert _folder_of("blimp").name == "blimp" and _folder_of("nosuch") is None
    manager = _manager("blimp", None)
    assert _is_whole(manager, "blimp") and len(manager.all_tasks) < 100


FROM_HUB = """
import sys
from pathlib import Path
from abovo.evaluation.harness import score_harness
from abovo.modeling.opened import open_scored
from abovo.evaluation.scorer import Scorer

model, tasks = map(Path, sys.argv[1:])
(found,) = score_harness(Scorer(open_scored(model), 8), "pairs", tasks).sets
print(len(found.rows), found.dataset["commit"])
"""


@pytest.mark.slow  # a process of its own: the hub's libraries read their address as they are imported
def test_the_commit_of_a_data_set_from_the_hub_is_told(small_folder, tmp_path, root):
    import io
    import os
    import subprocess
    import sys

    import pyarrow
    from hub_server import Hub
    from pyarrow import parquet

    task = {
        "task": "pairs", "dataset_path": "people/pairs", "dataset_name": "causative", "output_type": "multiple_choice",
        "validation_split": "train", "doc_to_text": "", "doc_to_target": 0, "doc_to_choice": "{{[good, bad]}}",
        "metric_list": [{"metric": "acc"}],
    }  # fmt: skip
    (tmp_path / "pairs.yaml").write_text(yaml.safe_dump(task))
    card = {"configs": [{"config_name": "causative", "data_files": [{"split": "train", "path": "causative/train-*"}]}]}
    rows = io.BytesIO()
    parquet.write_table(pyarrow.table({"good": ["the law", "a navy"], "bad": ["law the", "navy a"]}), rows)
    files = {
        "README.md": f"---\n{yaml.safe_dump(card)}---\n".encode(),
        "causative/train-00000-of-00001.parquet": rows.getvalue(),
    }
    with Hub() as hub:
        commit = hub.publish("people/pairs", files)
        there = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(root / "src")}
        command = [sys.executable, "-c", FROM_HUB, str(small_folder), str(tmp_path)]
        done = subprocess.run(command, env={**os.environ, **there}, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == [f"2 {commit}"], done.stderr
