"""Score a model on the prepared items of a task, set by set."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from abovo.evaluation.bench import Bench, Given
from abovo.evaluation.evidence import ScoredSet, prompt_hash
from abovo.evaluation.generate import generate
from abovo.evaluation.item import ITEMS, Item, read_items
from abovo.evaluation.metrics import text_baselines, written_scores


def score_items(bench: Bench, given: Given) -> Iterator[ScoredSet]:
    """The sets of a task whose items are prepared."""
    prepared = given.items
    assert prepared is not None, "a job of kind items is given them"
    task = prepared["parameters"]["task"]
    how = {
        "how": how_of(task, bench),
        "task": prepared["task"],
        "task_sha256": prepared["task_sha256"],
        "items_sha256": prepared["outputs"][ITEMS]["sha256"],
        "shots": task["shots"],
    } | ({"stride": bench.settings.stride} if prepared["kind"] == "rolling" else {})
    for name, items in groupby(read_items(prepared), key=lambda item: item.set):
        if prepared["kind"] == "generation":
            yield written(bench, name, list(items), task, how)
        else:
            yield bench.score(name, prepared["kind"], list(items), how, refuse_cut=task["too_long"] == "refuse")


def written(bench: Bench, name: str, items: list[Item], task: Mapping[str, Any], how: Mapping[str, Any]) -> ScoredSet:
    """What a model writes, greedily, after each prompt, compared with the answer."""
    rows, texts = [], generate(bench.opened, [item.contexts[0] for item in items], False, task["new_tokens"])
    for item, one in zip(items, texts, strict=True):
        asked = {"set": name, "id": item.id, "prompt": prompt_hash(item), "answer": item.answer}
        got = {key: value for key, value in one.items() if key != "prompt"}
        rows.append({**asked, **got, "scores": written_scores(one["text"], item.answer or "")})
    if task["too_long"] == "refuse":
        bench.refuse_cut(rows)
    return ScoredSet(
        name, "generation", rows, bench.protocol(**how), {"baselines": text_baselines("generation", items)}
    )


def how_of(task: dict[str, Any], bench: Bench) -> str:
    """How rows of a kind of task are scored, in words."""
    shots = f"{task['shots']} examples before each" if task["shots"] else "zero-shot"
    return {
        "rolling": bench.windows(),
        "minimal_pair": "summed log-likelihood of each sentence from EOS on, in float32; equal ones count half",
        "last_word": f"{shots}; log-likelihood of the last word; right where each of its tokens is the likeliest",
        "generation": f"{shots}; greedy",
    }.get(
        task["kind"],
        f"{shots}; the option with the highest summed log-likelihood after a prompt in plain text",
    )
