"""Turn the names of lm-eval's own tasks into rows scored as lm-eval defines them, by our scorer."""

import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from abovo.errors import AbovoError, first_line
from abovo.evaluation.evidence import option_line
from abovo.evaluation.metrics import best
from abovo.modeling.opened import bars_of

if TYPE_CHECKING:
    from abovo.evaluation.scorer import Scored, Scorer

log = logging.getLogger("abovo")
# Seeds of lm-eval's command line: of Python's and numpy's generators, and of the drawing of shots.
SEEDS = (0, 1234)
KINDS = {
    "loglikelihood": "last_word",
    "loglikelihood_rolling": "rolling",
    "multiple_choice": "choice",
    "generate_until": "generation",
}
# Libraries whose errors say that something out there could not be had.
NETWORK = ("httpx", "httpx2", "httpcore", "huggingface_hub", "requests", "fsspec")
REVISION = re.compile(r"(?<![0-9a-f])[0-9a-f]{40}(?![0-9a-f])")
NAMED = re.compile(r"""^["']?(?:task|group)["']?[ ]*:[ ]*["']?([^"'\s#]+)["']?[ ]*(?:#.*)?$""", re.MULTILINE)


def _one(value: float) -> tuple[float, float]:
    return float(value), 1.0


def _nats(pair: Sequence[float]) -> tuple[float, float]:
    return -float(pair[0]), float(pair[1])


def _bits(pair: Sequence[float]) -> tuple[float, float]:
    return -float(pair[0]) / math.log(2), float(pair[1])


# lm-eval's name of a metric -> ours, and what a row adds to it: a part and a whole. Of perplexities it is the exponent.
METRICS: dict[str, tuple[str, Callable[[Any], tuple[float, float]]]] = {
    "acc": ("accuracy", _one),
    "acc_norm": ("accuracy_per_character", _one),
    "acc_bytes": ("accuracy_per_byte", _one),
    "exact_match": ("exact_match", _one),
    "bits_per_byte": ("bits_per_byte", _bits),
    "byte_perplexity": ("byte_perplexity", _nats),
    "word_perplexity": ("word_perplexity", _nats),
    "perplexity": ("word_perplexity", lambda nats: (-float(nats), 1.0)),
}


@dataclass(frozen=True)
class HarnessSet:
    """One of lm-eval's tasks, scored: rows of evidence and what they stand on.

    `kind` is that of our tasks; `shots` how many examples stood before a prompt; `left_out` lm-eval's metrics that a
    row adds nothing to by itself. `commit` is that of the data set, where the library tells it.
    """

    name: str
    kind: str
    rows: Sequence[Mapping[str, Any]]
    version: str
    dataset: Mapping[str, Any]
    sha256: str
    shots: int
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class HarnessTask:
    """A name of lm-eval's: one task, or all of a group or tag; `absent` says why its data could not be had."""

    name: str
    sets: Sequence[HarnessSet]
    absent: str | None = None


def score_harness(scorer: "Scorer", name: str, folder: Path | None = None) -> HarnessTask:
    """Score one of lm-eval's tasks, groups or tags by its name; `folder` holds task files of another's, if any.

    Data that cannot be reached make it absent, which is no error. Raises AbovoError for a name that lm-eval does not
    know, and for a task that cannot be scored by log-likelihoods or compared texts.
    """
    import lm_eval

    from abovo.evaluation.harness_model import HarnessModel

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    with bars_of(scorer.progress):
        loaded = _load(name, folder)
        if isinstance(loaded, str):
            return HarnessTask(name, (), loaded)
        left_out = {set_name: _check_metrics(task, set_name) for set_name, task in loaded.items()}
        sets = []
        for set_name, task in sorted(loaded.items()):
            if task.config.num_fewshot is None:
                task.set_config("num_fewshot", 0)
            task.set_fewshot_seed(SEEDS[1])
            model = HarnessModel(scorer)
            try:
                found = lm_eval.evaluate(lm=model, task_dict={"tasks": {set_name: task}}, bootstrap_iters=0)
            except (ArithmeticError, ImportError, LookupError, TypeError, ValueError) as error:
                what = f"lm-eval cannot score it ({type(error).__name__}: {first_line(error)})"
                raise AbovoError(what, f"task {set_name}", "leave the task out") from error
            sets.append(_set(set_name, task, found["samples"][set_name], model, left_out[set_name]))
    return HarnessTask(name, sets)


def _load(name: str, folder: Path | None) -> dict[str, Any] | str:
    """lm-eval's task objects by their names, or why their data cannot be had."""
    import numpy as np

    random.seed(SEEDS[0])
    np.random.seed(SEEDS[1])
    manager = _manager(name, folder)
    if name not in manager.all_tasks:
        raise AbovoError("lm-eval knows no such task", f"task {name}", "mend the evaluation's key `tasks`")
    try:
        return manager.load([name])["tasks"]
    except Exception as error:
        if reason := _unreachable(error):
            return reason
        what = f"lm-eval cannot open it ({type(error).__name__}: {first_line(error)})"
        raise AbovoError(what, f"task {name}", "leave the task out, or install what it needs") from error


def _manager(name: str, folder: Path | None) -> Any:
    """lm-eval's index of tasks, of the folder alone that has the task where that suffices: all of it takes 20 s."""
    from lm_eval.tasks import TaskManager

    if place := folder or _folder_of(name):
        manager = TaskManager(include_path=str(place), include_defaults=False)
        if _is_whole(manager, name):
            return manager
    return TaskManager(include_path=None if folder is None else str(folder))


def _folder_of(name: str) -> Path | None:
    found = importlib.util.find_spec("lm_eval")
    places = list(found.submodule_search_locations or []) if found else []
    for path in sorted(Path(places[0], "tasks").glob("**/*.yaml"), key=lambda path: path.as_posix()) if places else ():
        if name in NAMED.findall(path.read_text(encoding="utf-8")):
            return path.parent
    return None


def _is_whole(manager: Any, name: str) -> bool:
    """Whether all that a name stands for is in the index."""
    entry = manager.task_index.get(name)
    if entry is None:
        return False
    members = (entry.cfg or {}).get("task")
    if not isinstance(members, list):
        return entry.yaml_path is not None
    return all(isinstance(member, str) and _is_whole(manager, member) for member in members)


def _unreachable(error: BaseException | None) -> str:
    """Why data could not be had, where that is what went wrong; "" elsewhere."""
    while error is not None:
        if isinstance(error, OSError) or type(error).__module__.split(".")[0] in NETWORK:
            return f"its data cannot be had: {first_line(error)}"
        error = error.__cause__ or error.__context__
    return ""


def _check_metrics(task: Any, name: str) -> tuple[str, ...]:
    """Names of the task's metrics that stay out. Raises AbovoError where none is left."""
    names = [str(metric) for metric in task.aggregation()]
    kept = [metric for metric in names if metric in METRICS]
    if not kept or task.OUTPUT_TYPE not in KINDS:
        what = f"its metrics ({', '.join(names)}) are none that rows add up to"
        raise AbovoError(what, f"task {name} of lm-eval", f"leave the task out; known are {', '.join(METRICS)}")
    return tuple(metric for metric in names if metric not in METRICS)


def _set(
    name: str, task: Any, samples: Sequence[Mapping[str, Any]], model: Any, left_out: tuple[str, ...]
) -> HarnessSet:
    first = samples[0]["filter"]
    kept = sorted((sample for sample in samples if sample["filter"] == first), key=lambda sample: sample["doc_id"])
    config = json.dumps(task.dump_config(), sort_keys=True, default=str)
    split = task.config.test_split if task.has_test_docs() else task.config.validation_split
    dataset = {
        "path": task.config.dataset_path,
        "config": task.config.dataset_name,
        "split": split,
        "commit": _commit(task, split),
    }
    return HarnessSet(
        name=name,
        kind=KINDS[task.OUTPUT_TYPE],
        rows=[_row(name, task, sample, model) for sample in kept],
        version=str(task.VERSION),
        dataset=dataset,
        sha256=hashlib.sha256(config.encode()).hexdigest(),
        shots=int(task.config.num_fewshot or 0),
        left_out=left_out,
    )


def _commit(task: Any, split: str | None) -> str | None:
    """The commit of the data set on the hub, which stands in the addresses that it came from or the cache's folder."""
    try:
        rows = task.dataset[split]
        names = [*(rows.info.download_checksums or {}), *(file["filename"] for file in rows.cache_files)]
    except (AttributeError, KeyError, TypeError):
        return None
    return next((found[0] for text in names if (found := REVISION.search(str(text)))), None)


def _row(name: str, task: Any, sample: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """A row of evidence from a sample of lm-eval's and what the scorer found for its requests."""
    number = sample["doc_id"]
    texts = [[str(text) for text in argument[:2]] for argument in sample["arguments"]]
    places = [(name, number, place) for place in range(len(texts))]
    prompt = hashlib.sha256(json.dumps(texts, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()
    row = {"set": name, "id": str(number), "prompt": prompt[:16]}
    scores = {METRICS[key][0]: list(METRICS[key][1](sample[key])) for key in sample["metrics"] if key in METRICS}
    if task.OUTPUT_TYPE == "generate_until":
        written, gold = sample["filtered_resps"][0], sample["target"]
        found = {"options": [], "prediction": written, "gold": gold}
        return {**row, **found, "scores": scores, "cut": sum(model.cut[place] for place in places)}
    scored: list[Scored] = [model.scored[place] for place in places]
    options = [option_line(text[-1], one) for one, text in zip(scored, texts, strict=True)]
    prediction, gold = _chosen(task, sample, scored)
    cut = sum(one.cut for one in scored)
    return {**row, "options": options, "prediction": prediction, "gold": gold, "scores": scores, "cut": cut}


def _chosen(task: Any, sample: Mapping[str, Any], scored: Sequence["Scored"]) -> tuple[int | None, Any]:
    """The number of the likeliest option and that of the right one (several, where the task takes several)."""
    if task.OUTPUT_TYPE != "multiple_choice":
        return None, None
    choices = task.doc_to_choice(sample["doc"])
    values = [one.log_likelihood for one in scored[: len(choices)]]
    gold = task.doc_to_text(sample["doc"]) if getattr(task, "multiple_input", 0) else sample["target"]
    if isinstance(gold, str):
        gold = choices.index(gold) if gold in choices else None
    return best(values), gold
