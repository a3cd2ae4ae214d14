"""Turn scored rows into metrics: value, n, 95 % interval, trivial baselines and protocol."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from abovo.evaluation.item import Item, Likely
from abovo.evaluation.measures import HIGHEST, MEASURES, measure_of
from abovo.evaluation.statistics import Scores, combined, metric, rounded

Metrics = dict[str, dict[str, Any]]
Row = Mapping[str, Any]
Baseline = dict[str, float]
# Kind of a set -> what its rows are.
UNITS = {
    "rolling": "documents",
    "choice": "questions",
    "yes_no": "questions",
    "minimal_pair": "pairs",
    "last_word": "passages",
    "generation": "prompts",
    "packed_rows": "rows",
    "document_ends": "rows",
    "conversation": "conversations",
}
NO, YES = 0, 1


def row_scores(kind: str, item: Item, scored: Sequence[Likely]) -> dict[str, tuple[float, float]]:
    """Metric -> (part, whole) of one row; the metric of a set is made of the sums of both over its rows."""
    if kind == "rolling":
        nats, sizes = -scored[0].log_likelihood, item.sizes
        found = {
            "bits_per_byte": (nats / math.log(2), float(sizes["bytes"])),
            "token_perplexity": (nats, float(scored[0].tokens)),
            "byte_perplexity": (nats, float(sizes["bytes"])),
        }
        return found | ({"word_perplexity": (nats, float(sizes["words"]))} if "words" in sizes else {})
    if kind == "last_word":
        return {"accuracy": (float(scored[0].greedy), 1.0), "word_perplexity": (-scored[0].log_likelihood, 1.0)}
    likely = [one.log_likelihood for one in scored]
    if kind == "minimal_pair":
        good, bad = likely
        return {"accuracy": (0.5 if good == bad else float(good > bad), 1.0)}
    right = {"accuracy": (float(best(likely) == item.gold), 1.0)}
    if kind == "yes_no":
        return right | {"yes_rate": (float(best(likely) == YES), 1.0)}
    for name, measure in (("accuracy_per_character", len), ("accuracy_per_byte", _size)):
        # the blank before an option is no part of it
        per = [one / max(1, measure(option.lstrip())) for one, option in zip(likely, item.options, strict=True)]
        right[name] = (float(best(per) == item.gold), 1.0)
    return right


def written_scores(written: str, answer: str, offered: Sequence[str] = ()) -> dict[str, tuple[float, float]]:
    """The same of a text that a model wrote, blanks around it left out; `offered` are the answers that a question
    offers."""
    written = written.strip()
    found = {"exact_match": (float(written == answer.strip()), 1.0)}
    return found | ({"offered": (float(written in [one.strip() for one in offered]), 1.0)} if offered else {})


def best(values: Sequence[float]) -> int:
    """The place of the highest value, the first of equal ones."""
    return max(range(len(values)), key=values.__getitem__)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def set_scores(rows: Sequence[Row]) -> dict[str, Scores]:
    """Metric -> the scores of all rows of a set; rows of one document are a cluster."""
    found = {}
    for name in dict.fromkeys(name for row in rows for name in row["scores"]):
        chosen = [row for row in rows if name in row["scores"]]
        parts, wholes = zip(*(row["scores"][name] for row in chosen), strict=True)
        # a row of no document is one of its own
        clusters = [("document", row["document"]) if row.get("document") else ("row", row["id"]) for row in chosen]
        # a row is the same where its texts are
        ids = [f"{row['id']} of prompt {row['prompt']}" if "prompt" in row else row["id"] for row in chosen]
        found[name] = Scores(parts, wholes, clusters, ids)
    return found


def set_metrics(kind: str, rows: Sequence[Row], about: Mapping[str, Any]) -> Metrics:
    """The metrics of one set from its rows of evidence.

    `about` is what the manifest of its task says of the set: `protocol`, and where they are known `vocabulary`
    (pieces), `baselines` (of `text_baselines`) and `packed_rows`.
    """
    scores = set_scores(rows)
    found = {}
    for name, one in scores.items():
        measure = MEASURES[name]
        interval, how = measure.interval(one)
        more: dict[str, Any] = {"protocol": dict(about["protocol"])}
        if measure.whole and kind != "last_word":
            more[measure.whole] = int(sum(one.wholes))
        if name == "bits_per_byte" and all(row.get("source") for row in rows):
            more["by_source"] = _by_source(rows, name)
        n = about.get("packed_rows", len(one.parts))
        baseline = _baseline(kind, name, rows, about) | about.get("baselines", {}).get(name, {})
        found[name] = metric(measure.value(one), n, UNITS[kind], interval, how, baseline, **more)
    return found


def mean_metrics(sets: Mapping[str, Metrics]) -> Metrics:
    """The unweighted mean over the sets of a task of each metric that all have; perplexities have no mean worth a name.

    Its interval is that of these very sets: it recovers each set's variance from its own interval.
    """
    entries = list(sets.values())
    found = {}
    for name in entries[0]:
        if MEASURES[name].exponent or any(name not in one or one[name]["interval"] is None for one in entries):
            continue
        parts = [one[name] for one in entries]
        weights = [1 / len(parts)] * len(parts)
        value, interval = combined([part["value"] for part in parts], [part["interval"] for part in parts], weights)
        shared = [key for key in parts[0]["baseline"] if all(key in part["baseline"] for part in parts)]
        baseline = {key: sum(part["baseline"][key] for part in parts) / len(parts) for key in shared}
        how = f"from the limits of {len(parts)} sets (Zou and Donner 2008); the mean of sets, not of rows"
        found[name] = metric(
            value, sum(part["n"] for part in parts), parts[0]["unit"], interval, how, baseline,
            protocol=parts[0]["protocol"], sets=len(parts),
        )  # fmt: skip
    return found


def _by_source(rows: Sequence[Row], name: str) -> dict[str, float]:
    """The same value for the rows of each source."""
    values = {}
    for source in sorted({row["source"] for row in rows}):
        chosen = [row for row in rows if row["source"] == source]
        values[source] = rounded(measure_of(name).value(set_scores(chosen)[name]))
    return values


def _baseline(kind: str, name: str, rows: Sequence[Row], about: Mapping[str, Any]) -> Baseline:
    """What needs no model, as far as the rows tell it: for answers the most frequent one and one drawn from the options
    of each row, for texts a uniform guess."""
    if name in ("ends_its_turn", "stays_in_role"):
        return {"nothing said": 1.0}
    if kind in ("rolling", "packed_rows", "document_ends", "last_word", "conversation"):
        return _uniform(kind, name, rows, about.get("vocabulary"))
    if kind == "minimal_pair":
        return {"chance": 0.5}
    if kind == "generation":
        return {"nothing written": 0.0}
    # lm-eval takes several options of a row for right where its task does
    golds = [row["gold"] if isinstance(row["gold"], list) else [row["gold"]] for row in rows]
    if name == "yes_rate":
        return {"share of questions whose answer is yes": golds.count([YES]) / len(golds)}
    chance = sum(len(gold) / len(row["options"]) for gold, row in zip(golds, rows, strict=True)) / len(rows)
    most = max(Counter(number for gold in golds for number in gold).values())
    return {"majority answer": most / len(golds), "chance": chance}


def _uniform(kind: str, name: str, rows: Sequence[Row], vocabulary: int | None) -> Baseline:
    """What a uniform guess reaches at each byte, and at each token of a known vocabulary."""
    if name == "bits_per_byte":
        return {"uniform over bytes": 8.0}
    if name == "byte_perplexity":
        return {"uniform over bytes": 256.0}
    if name == "word_perplexity" and kind == "rolling":
        scores = set_scores(rows)
        per_word = sum(scores["byte_perplexity"].wholes) / sum(scores["word_perplexity"].wholes)
        return {"uniform over bytes": math.exp(min(HIGHEST, per_word * math.log(256)))}
    if vocabulary is None:
        return {}
    guess = math.log(vocabulary)
    if name == "accuracy":
        right = sum(math.exp(-guess * row["options"][0]["tokens"]) for row in rows) / len(rows)
        return {"uniform over the vocabulary": right}
    if name == "word_perplexity":
        tokens = sum(row["options"][0]["tokens"] for row in rows) / len(rows)
        return {"uniform over the vocabulary": math.exp(min(HIGHEST, tokens * guess))}
    if kind == "document_ends":
        return {"uniform over the vocabulary": 1 / vocabulary}
    return {"uniform over the vocabulary": guess if name == "validation_loss" else float(vocabulary)}


def text_baselines(kind: str, items: "Iterable[Item]") -> dict[str, Baseline]:
    """Metric -> what needs the texts themselves, which rows of evidence do not hold: a compressor on the same bytes,
    and the share of the most frequent last word or answer."""
    items = list(items)
    if kind == "rolling":
        return {"bits_per_byte": byte_baselines([item.options[0].encode("utf-8", "surrogatepass") for item in items])}
    if kind == "last_word":
        return {"accuracy": {"most frequent last word": _most([item.options[0].strip() for item in items])}}
    if kind == "generation":
        answers = [item.answer.strip() for item in items if item.answer is not None]
        return {"exact_match": {"most frequent answer": _most(answers)}} if answers else {}
    return {}


def _most(texts: Sequence[str]) -> float:
    return max(Counter(texts).values()) / len(texts)


def byte_baselines(texts: Sequence[bytes]) -> Baseline:
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
