"""Turn the samples of lm-eval into metrics: value, n, 95 % interval, trivial baselines and protocol."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from abovo.errors import AbovoError
from abovo.evaluation.harness import log_likelihood, option_log_likelihoods
from abovo.evaluation.measures import MEASURES
from abovo.evaluation.metrics import Metrics, byte_baselines
from abovo.evaluation.statistics import Scores, metric, rounded

Sample = Mapping[str, Any]


def document_metrics(
    samples: Sequence[Sample], tokens: Sequence[int], vocabulary: int, protocol: Mapping[str, Any]
) -> tuple[Metrics, Scores]:
    """Bits per byte and token perplexity of whole documents, and bits and bytes of each document.

    `tokens` are the documents' token counts as scored (without EOS). Both sum log-likelihoods over all documents and
    divide once, so a long document weighs as much as its length.
    """
    nats = [-log_likelihood(sample) for sample in samples]
    texts = [sample["doc"]["text"].encode() for sample in samples]
    by_byte = Scores([value / math.log(2) for value in nats], [len(text) for text in texts])
    by_token = Scores(nats, tokens)
    found = {
        "bits_per_byte": _entry(
            "bits_per_byte", by_byte, "documents", byte_baselines(texts), protocol,
            bytes=sum(by_byte.wholes), by_source=_sources(samples, by_byte),
        ),
        "token_perplexity": _entry(
            "token_perplexity", by_token, "documents", {"uniform over the vocabulary": float(vocabulary)}, protocol,
            tokens=sum(tokens),
        ),
    }  # fmt: skip
    return found, by_byte


def _entry(
    name: str, scores: Scores, unit: str, baseline: Mapping[str, float], protocol: Mapping[str, Any], **more: Any
) -> dict[str, Any]:
    measure = MEASURES[name]
    interval, how = measure.interval(scores)
    n = more.pop("n", len(scores.parts))
    return metric(measure.value(scores), n, unit, interval, how, baseline, protocol=protocol, **more)


def _sources(samples: Sequence[Sample], scores: Scores) -> dict[str, float]:
    """The same value for the documents of each source."""
    names = [str(sample["doc"]["source"]) for sample in samples]
    values = {}
    for name in sorted(set(names)):
        chosen = [index for index, other in enumerate(names) if other == name]
        part = Scores([scores.parts[index] for index in chosen], [scores.wholes[index] for index in chosen])
        values[name] = rounded(part.value)
    return values


def choice_metrics(samples: Sequence[Sample], protocol: Mapping[str, Any]) -> tuple[Metrics, Scores]:
    """Accuracy by highest log-likelihood; for two options also the share of answers that are the second (yes)."""
    likely = [option_log_likelihoods(sample) for sample in samples]
    chosen = [max(range(len(row)), key=row.__getitem__) for row in likely]
    labels = [int(sample["target"]) for sample in samples]
    documents = [sample["doc"].get("id", number) for number, sample in enumerate(samples)]
    right = [float(choice == label) for choice, label in zip(chosen, labels, strict=True)]
    ones = [1.0] * len(right)
    scores = Scores(right, ones, documents)
    found = {"accuracy": _entry("accuracy", scores, "questions", _trivial(labels, likely), protocol)}
    if max(len(row) for row in likely) == 2:
        share = {"share of questions whose answer is yes": sum(labels) / len(labels)}
        said = Scores([float(choice) for choice in chosen], ones, documents)
        found["yes_rate"] = _entry("yes_rate", said, "questions", share, protocol)
    return found, scores


def _trivial(labels: Sequence[Any], options: Sequence[Sequence[Any]]) -> dict[str, float]:
    """What is right without a model: the most frequent answer to these questions, and one drawn from the `options` of
    each. Where labels are no numbers of options, no answer is the most frequent one."""
    chance = sum(1 / len(row) for row in options) / len(options)
    try:
        numbers = [int(label) for label in labels]
    except (TypeError, ValueError):
        return {"chance": chance}
    return {"majority answer": max(Counter(numbers).values()) / len(numbers), "chance": chance}


def public_metrics(
    task: str, samples: Sequence[Sample], results: Mapping[str, Any], protocol: Mapping[str, Any]
) -> tuple[Metrics, Scores]:
    """The metrics of one of lm-eval's own tasks, recomputed from its samples."""
    kept = [sample for sample in samples if sample["filter"] == samples[0]["filter"]]
    protocol = {**protocol, "task": task, "task_version": str(results.get("version", "that of lm_eval"))}
    ones = [1.0] * len(kept)
    if "acc" in kept[0]:
        scores = Scores([float(sample["acc"]) for sample in kept], ones)
        baseline = _trivial([sample.get("target") for sample in kept], [sample["resps"] for sample in kept])
        found = {"accuracy": _entry("accuracy", scores, "questions", baseline, protocol)}
        if "acc_norm" in kept[0]:
            normed = Scores([float(sample["acc_norm"]) for sample in kept], ones)
            found["accuracy_per_character"] = _entry("accuracy_per_character", normed, "questions", baseline, protocol)
        if max(len(sample["resps"]) for sample in kept) == 2:
            second = Scores([float(pair[1] > pair[0]) for pair in map(option_log_likelihoods, kept)], ones)
            found["second_option_rate"] = _entry("second_option_rate", second, "questions", {"chance": 0.5}, protocol)
        return found, scores
    if "bits_per_byte" in kept[0]:
        pairs = [sample["bits_per_byte"] for sample in kept]
        scores = Scores([-nats / math.log(2) for nats, _ in pairs], [float(size) for _, size in pairs])
        entry = _entry("bits_per_byte", scores, "documents", {"uniform over bytes": 8.0}, protocol)
        return {"bits_per_byte": entry}, scores
    raise AbovoError("neither acc nor bits_per_byte is among its metrics", f"task {task}", "leave the task out")


def loss_metric(scores: Scores, rows: int, vocabulary: int, protocol: Mapping[str, Any]) -> dict[str, Any]:
    """The validation loss from nats and targets of blocks of neighbouring packed rows."""
    baseline = {"uniform over the vocabulary": math.log(vocabulary)}
    targets = int(sum(scores.wholes))
    return _entry("validation_loss", scores, "rows", baseline, protocol, n=rows, targets=targets)
