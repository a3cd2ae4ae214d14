"""Turn scored samples into metrics: value, n, 95 % interval, trivial baseline and protocol."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from abovo.errors import AbovoError
from abovo.evaluation.harness import log_likelihood, option_log_likelihoods
from abovo.evaluation.statistics import bootstrap_mean, bootstrap_ratio, metric, wilson

Metrics = dict[str, dict[str, Any]]
Sample = Mapping[str, Any]
# Accuracy of always giving the most frequent answer, on the split that lm-eval scores.
PUBLIC_MAJORITY = {"boolq": 0.6217}


def document_metrics(
    samples: Sequence[Sample], tokens: Sequence[int], vocabulary: int, protocol: Mapping[str, Any], draws: int, seed: int
) -> tuple[Metrics, list[float]]:
    """Bits per byte and token perplexity of whole documents, and the bits per byte of each document.

    `tokens` are the documents' token counts as scored (without EOS). Both sum log-likelihoods over all documents and
    divide once, so a long document weighs as much as its length.
    """
    nats = [-log_likelihood(sample) for sample in samples]
    texts = [sample["doc"]["text"].encode() for sample in samples]
    sizes = [len(text) for text in texts]
    bits = [value / math.log(2) for value in nats]
    low, high = bootstrap_ratio(nats, tokens, draws, seed)
    method = f"bootstrap over documents, {draws} draws, seed {seed}"
    sources = sorted({str(sample["doc"]["source"]) for sample in samples})
    found = {
        "bits_per_byte": metric(
            sum(bits) / sum(sizes), len(samples), "documents", bootstrap_ratio(bits, sizes, draws, seed), method,
            byte_baselines(texts), protocol=protocol, bytes=sum(sizes),
            by_source={source: _share(samples, bits, sizes, source) for source in sources},
        ),
        "token_perplexity": metric(
            math.exp(sum(nats) / sum(tokens)), len(samples), "documents", (math.exp(low), math.exp(high)), method,
            {"uniform over the vocabulary": float(vocabulary)}, protocol=protocol, tokens=sum(tokens),
        ),
    }  # fmt: skip
    return found, [bit / size for bit, size in zip(bits, sizes, strict=True)]


def _share(samples: Sequence[Sample], bits: Sequence[float], sizes: Sequence[int], source: str) -> float:
    chosen = [index for index, sample in enumerate(samples) if sample["doc"]["source"] == source]
    return float(f"{sum(bits[index] for index in chosen) / sum(sizes[index] for index in chosen):.9g}")


def byte_baselines(texts: Sequence[bytes]) -> dict[str, float]:
    """What predictors without a model reach on the same bytes: uniform, byte frequencies, a general compressor."""
    import zstandard

    whole = b"".join(texts)
    entropy = -sum(count / len(whole) * math.log2(count / len(whole)) for count in Counter(whole).values())
    packed = zstandard.ZstdCompressor(level=19).compress(whole)
    return {
        "uniform over bytes": 8.0,
        "entropy of byte frequencies of the same text": entropy,
        "zstd level 19 on the same text": 8 * len(packed) / len(whole),
    }


def choice_metrics(samples: Sequence[Sample], protocol: Mapping[str, Any]) -> tuple[Metrics, list[float]]:
    """Accuracy by highest log-likelihood; for two options also the share of answers that are the second (yes)."""
    scores = [option_log_likelihoods(sample) for sample in samples]
    chosen = [max(range(len(row)), key=row.__getitem__) for row in scores]
    labels = [int(sample["target"]) for sample in samples]
    right = [float(choice == label) for choice, label in zip(chosen, labels, strict=True)]
    n, options = len(samples), max(len(row) for row in scores)
    majority = max(Counter(labels).values()) / n
    baseline = {"majority answer": majority, "chance": 1 / options}
    found = {
        "accuracy": metric(sum(right) / n, n, "questions", wilson(sum(right), n), "Wilson", baseline, protocol=protocol)
    }
    if options == 2:
        yes, share = float(sum(chosen)), sum(labels) / n
        found["yes_rate"] = metric(
            yes / n, n, "questions", wilson(yes, n), "Wilson", {"share of questions whose answer is yes": share},
            protocol=protocol,
        )  # fmt: skip
    return found, right


def public_metrics(
    task: str, samples: Sequence[Sample], results: Mapping[str, Any], protocol: Mapping[str, Any], draws: int, seed: int
) -> tuple[Metrics, list[float]]:
    """The metrics of one of lm-eval's own tasks, recomputed from its samples."""
    kept = [sample for sample in samples if sample["filter"] == samples[0]["filter"]]
    protocol = {**protocol, "task": task, "task_version": str(results.get("version", "see lm_eval"))}
    if "acc" in kept[0]:
        right = [float(sample["acc"]) for sample in kept]
        n = len(right)
        options = max(len(sample["resps"]) for sample in kept)
        majority = PUBLIC_MAJORITY.get(task, 1 / options)
        baseline = {"majority answer": majority, "chance": 1 / options}
        interval = wilson(sum(right), n)
        found = {"accuracy": metric(sum(right) / n, n, "questions", interval, "Wilson", baseline, protocol=protocol)}
        if "acc_norm" in kept[0]:
            normed = [float(sample["acc_norm"]) for sample in kept]
            found["accuracy_per_byte"] = metric(
                sum(normed) / n, n, "questions", wilson(sum(normed), n), "Wilson", baseline, protocol=protocol
            )
        if options == 2:
            yes = float(sum(scores[1] > scores[0] for scores in map(option_log_likelihoods, kept)))
            found["yes_rate"] = metric(
                yes / n, n, "questions", wilson(yes, n), "Wilson", {"majority answer": majority}, protocol=protocol
            )
        return found, right
    if "bits_per_byte" in kept[0]:
        pairs = [sample["bits_per_byte"] for sample in kept]
        bits, sizes = [-nats / math.log(2) for nats, _ in pairs], [float(size) for _, size in pairs]
        interval = bootstrap_ratio(bits, sizes, draws, seed)
        method = f"bootstrap over documents, {draws} draws, seed {seed}"
        entry = metric(
            sum(bits) / sum(sizes), len(kept), "documents", interval, method, {"uniform over bytes": 8.0},
            protocol=protocol,
        )  # fmt: skip
        return {"bits_per_byte": entry}, [bit / size for bit, size in zip(bits, sizes, strict=True)]
    raise AbovoError("neither acc nor bits_per_byte is among its metrics", f"task {task}", "leave the task out")


def loss_metric(
    losses: Sequence[float], targets: Sequence[int], vocabulary: int, protocol: Mapping[str, Any], draws: int, seed: int
) -> dict[str, Any]:
    """The validation loss (nats per target) from summed losses and target counts of the packed rows."""
    interval = bootstrap_ratio(losses, targets, draws, seed)
    method = f"bootstrap over rows, {draws} draws, seed {seed}"
    return metric(
        sum(losses) / sum(targets), len(losses), "rows", interval, method,
        {"uniform over the vocabulary": math.log(vocabulary)}, protocol=protocol, targets=sum(targets),
    )  # fmt: skip


def paired_difference(before: Sequence[float], after: Sequence[float], draws: int, seed: int) -> dict[str, Any]:
    """after - before over the same items, with the 95 % interval of a paired bootstrap."""
    changes = [new - old for old, new in zip(before, after, strict=True)]
    low, high = bootstrap_mean(changes, draws, seed)
    return {"value": sum(changes) / len(changes), "interval": [low, high], "n": len(changes)}
