"""Turn scored samples into metrics: value, n, 95 % interval, trivial baseline and protocol."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from abovo.errors import AbovoError
from abovo.evaluation.harness import log_likelihood, option_log_likelihoods
from abovo.evaluation.statistics import Interval, Scores, bootstrap, metric, rounded, wilson
from abovo.settings.stages import Resampling

Metrics = dict[str, dict[str, Any]]
Sample = Mapping[str, Any]


def document_metrics(
    samples: Sequence[Sample],
    tokens: Sequence[int],
    vocabulary: int,
    protocol: Mapping[str, Any],
    resampling: Resampling,
) -> tuple[Metrics, Scores]:
    """Bits per byte and token perplexity of whole documents, and bits and bytes of each document.

    `tokens` are the documents' token counts as scored (without EOS). Both sum log-likelihoods over all documents and
    divide once, so a long document weighs as much as its length.
    """
    nats = [-log_likelihood(sample) for sample in samples]
    texts = [sample["doc"]["text"].encode() for sample in samples]
    by_byte = Scores([value / math.log(2) for value in nats], [len(text) for text in texts])
    by_token = Scores(nats, tokens)
    (low, high), method = _interval(by_token, "documents", resampling)
    found = {
        "bits_per_byte": metric(
            by_byte.value, len(samples), "documents", *_interval(by_byte, "documents", resampling),
            byte_baselines(texts), protocol=protocol, bytes=sum(by_byte.wholes), by_source=_sources(samples, by_byte),
        ),
        "token_perplexity": metric(
            math.exp(by_token.value), len(samples), "documents", (math.exp(low), math.exp(high)), method,
            {"uniform over the vocabulary": float(vocabulary)}, protocol=protocol, tokens=sum(tokens),
        ),
    }  # fmt: skip
    return found, by_byte


def _sources(samples: Sequence[Sample], scores: Scores) -> dict[str, float]:
    """The same value for the documents of each source."""
    names = [str(sample["doc"]["source"]) for sample in samples]
    values = {}
    for name in sorted(set(names)):
        chosen = [index for index, other in enumerate(names) if other == name]
        part = Scores([scores.parts[index] for index in chosen], [scores.wholes[index] for index in chosen])
        values[name] = rounded(part.value)
    return values


def byte_baselines(texts: Sequence[bytes]) -> dict[str, float]:
    """What predictors without a model reach on the same bytes: uniform, byte frequencies, a general compressor."""
    import zstandard

    whole = b"".join(texts)
    entropy = -sum(count / len(whole) * math.log2(count / len(whole)) for count in Counter(whole).values())
    packed = zstandard.ZstdCompressor(level=19).compress(whole)
    return {
        "uniform over bytes": 8.0,
        "entropy of the same text's byte frequencies": entropy,
        "zstd level 19 on the same text": 8 * len(packed) / len(whole),
    }


def choice_metrics(samples: Sequence[Sample], protocol: Mapping[str, Any]) -> tuple[Metrics, Scores]:
    """Accuracy by highest log-likelihood; for two options also the share of answers that are the second (yes)."""
    scores = [option_log_likelihoods(sample) for sample in samples]
    chosen = [max(range(len(row)), key=row.__getitem__) for row in scores]
    labels = [int(sample["target"]) for sample in samples]
    right = [float(choice == label) for choice, label in zip(chosen, labels, strict=True)]
    found = {"accuracy": _proportion(right, _trivial(labels, scores), protocol)}
    if max(len(row) for row in scores) == 2:
        share = {"share of questions whose answer is yes": sum(labels) / len(labels)}
        found["yes_rate"] = _proportion([float(choice) for choice in chosen], share, protocol)
    return found, Scores(right, [1.0] * len(right))


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
    task: str,
    samples: Sequence[Sample],
    results: Mapping[str, Any],
    protocol: Mapping[str, Any],
    resampling: Resampling,
) -> tuple[Metrics, Scores]:
    """The metrics of one of lm-eval's own tasks, recomputed from its samples."""
    kept = [sample for sample in samples if sample["filter"] == samples[0]["filter"]]
    protocol = {**protocol, "task": task, "task_version": str(results.get("version", "that of lm_eval"))}
    if "acc" in kept[0]:
        right = [float(sample["acc"]) for sample in kept]
        baseline = _trivial([sample.get("target") for sample in kept], [sample["resps"] for sample in kept])
        found = {"accuracy": _proportion(right, baseline, protocol)}
        if "acc_norm" in kept[0]:
            normed = [float(sample["acc_norm"]) for sample in kept]
            found["accuracy_per_byte"] = _proportion(normed, baseline, protocol)
        if max(len(sample["resps"]) for sample in kept) == 2:
            chosen = [float(scores[1] > scores[0]) for scores in map(option_log_likelihoods, kept)]
            found["second_option_rate"] = _proportion(chosen, {"chance": 0.5}, protocol)
        return found, Scores(right, [1.0] * len(right))
    if "bits_per_byte" in kept[0]:
        pairs = [sample["bits_per_byte"] for sample in kept]
        scores = Scores([-nats / math.log(2) for nats, _ in pairs], [float(size) for _, size in pairs])
        entry = metric(
            scores.value, len(kept), "documents", *_interval(scores, "documents", resampling),
            {"uniform over bytes": 8.0}, protocol=protocol,
        )  # fmt: skip
        return {"bits_per_byte": entry}, scores
    raise AbovoError("neither acc nor bits_per_byte is among its metrics", f"task {task}", "leave the task out")


def loss_metric(
    scores: Scores, rows: int, block: int, vocabulary: int, protocol: Mapping[str, Any], resampling: Resampling
) -> dict[str, Any]:
    """The validation loss from nats and targets of blocks of neighbouring packed rows."""
    interval, method = _interval(scores, f"blocks of {block} neighbouring rows", resampling)
    baseline = {"uniform over the vocabulary": math.log(vocabulary)}
    targets = int(sum(scores.wholes))
    return metric(scores.value, rows, "rows", interval, method, baseline, protocol=protocol, targets=targets)


def _interval(scores: Scores, items: str, resampling: Resampling) -> tuple[Interval, str]:
    """The bootstrap's interval of a value over `items`, and how it was made."""
    draws, seed = resampling.bootstrap_draws, resampling.seed
    return bootstrap(scores, draws, seed), f"bootstrap over {items}, {draws} draws, seed {seed}"


def _proportion(values: Sequence[float], baseline: Mapping[str, float], protocol: Mapping[str, Any]) -> dict[str, Any]:
    total, n = sum(values), len(values)
    return metric(total / n, n, "questions", wilson(total, n), "Wilson", baseline, protocol=protocol)
