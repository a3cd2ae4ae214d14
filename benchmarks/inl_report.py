"""Turn the trials and probes of the study of the INL family into tables in markdown."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from inl_trials import CONTESTANTS, STEPS, Study, Trial, loss_of
from recipe import told

SET = "validation_loss/benchmark/"


def tokens_per_byte(packed: Path, tokenizer: Path) -> dict[str, float]:
    """Of the held-out rows of each source: ids, padding left out, over the bytes of their text (UTF-8)."""
    from abovo.packing.bins import open_bin, read_index
    from abovo.provenance.manifest import read_manifest
    from abovo.tokenizing.load import load_tokenizer

    manifest, own = read_manifest(packed, "abovo/packed/1"), load_tokenizer(tokenizer)
    rows, found = open_bin(manifest, "val"), {}
    for source, (first, end) in read_index(manifest, "val")["sources"].items():
        ids = [number for number in rows[first:end].reshape(-1).tolist() if number != manifest["pad_id"]]
        if ids:
            text = own.decode([number for number in ids if number != manifest["eos_id"]])
            found[source] = len(ids) / len(text.encode())
    return found


def values_of(result: Mapping[str, Any], rates: Mapping[str, float]) -> dict[str, float]:
    """What is told of a trial: nats per token, and bits per byte of each source; infinite where it diverged."""
    if "diverged" in result:
        return dict.fromkeys(("nats", *rates), math.inf)
    last = result["rows"][-1]
    bits = {source: last[f"{SET}{source}"] * rate / math.log(2) for source, rate in rates.items()}
    return {"nats": loss_of(dict(result)), **bits}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines) + "\n"


def _marked(loss: float, best: bool) -> str:
    if not math.isfinite(loss):
        return "diverged"
    return f"**{loss:.3f}**" if best else f"{loss:.3f}"


def tuning_rows(study: Study) -> Iterator[list[str]]:
    """Contestant, knob, losses by rate."""
    for name, one in CONTESTANTS.items():
        losses = {choice: loss for choice, loss in study.tuning(one).items() if loss is not None}
        best = min(losses.values(), default=None)
        for knob in one.knob[1]:
            own = sorted((choice.rate, loss) for choice, loss in losses.items() if choice.knob == knob)
            cells = (f"{rate:g} {_marked(loss, loss == best)}" for rate, loss in own)
            yield [
                name,
                f"{one.knob[0]} {knob:g}" if isinstance(knob, float) else f"{one.knob[0]} {knob}",
                ", ".join(cells),
            ]


Row = tuple[str, Sequence[Trial]]


def compared(
    rows: Sequence[Row], results: Mapping[Trial, dict[str, Any]], rates: Mapping[str, float]
) -> Iterator[list[str]]:
    """Of each row its tokens, nats, difference from the first row seed by seed, and bits per byte by source."""
    base: dict[int, float] = {}
    for name, trials in rows:
        found = {trial.seed: values_of(results[trial], rates) for trial in trials if trial in results}
        if not found:
            continue
        nats = {seed: values["nats"] for seed, values in found.items()}
        paired = [nats[seed] - base[seed] for seed in nats if seed in base]
        base = base or nats
        bits = [told([values[source] for values in found.values()]) for source in rates]
        yield [name, f"{trials[0].tokens:,}", told(list(nats.values())), told(paired, "+.3f") if paired else "", *bits]


def report(study: Study, tokenizer: Path, probes: Mapping[str, Any]) -> str:
    """Everything that is there, in the order of docs/inl.md."""
    rates = tokens_per_byte(study.runs.packed, tokenizer)
    results, choices = study.results(), study.choices()
    head = ["model", "tokens", "nats per token", "difference", *(f"bits per byte, {source}" for source in rates)]
    trials = list(dict.fromkeys(study.trials()))

    def row(name: str, title: str, tokens: int, steps: int | None = None) -> Row:
        return title, [one for one in trials if (one.contestant, one.tokens, one.steps) == (name, tokens, steps)]

    at_tokens = [row(name, name, study.tokens) for name in CONTESTANTS]
    at_operations = [row(name, name, study.equal_operations(name)) for name in CONTESTANTS]
    by_steps = [
        row("causal_mean", f"T = {steps}", study.tokens, steps) for steps in sorted(STEPS, key=lambda one: one != 5)
    ]
    chosen = (f"{name} {choice.rate:g}, {CONTESTANTS[name].knob[0]} {choice.knob}" for name, choice in choices.items())
    parts = [
        f"Tuned on {study.tuning_tokens:,} tokens: {'; '.join(chosen)}\n",
        table(["model", "knob", "validation loss by rate (nats)"], tuning_rows(study)),
        "Equal tokens\n", table(head, compared(at_tokens, results, rates)),
        "Equal operations\n", table(head, compared(at_operations, results, rates)),
        "Steps of the integrator\n", table(head, compared(by_steps, results, rates)),
        *probe_tables(probes),
    ]  # fmt: skip
    if stale := sum(result["code"] != study.runs.code for result in results.values()):
        parts.append(f"{stale} of these trials were made by other code than the present")
    return "\n".join(parts)


def probe_tables(probes: Mapping[str, Any]) -> Iterator[str]:
    """Speed and memory, decoding, and the ends of trajectories."""
    if "speed" in probes:
        rows = []
        for name, one in probes["speed"].items():
            ratio = f"{one['ratio']:.2f} ({one['lowest']:.2f} to {one['highest']:.2f})"
            rows.append([name, f"{one['tokens_per_second']:,.0f}", ratio, f"{one['memory_mb']:,.0f}"])
        yield table(["trained", "tokens per second", "of qwen3's", "peak memory (MB)"], rows)
    if "decoding" in probes:
        prefixes = list(next(iter(probes["decoding"].values())))
        rows = [[name, *(f"{own[prefix]:.1f}" for prefix in prefixes)] for name, own in probes["decoding"].items()]
        yield table(["ms per id after a prefix of", *(f"{int(prefix):,}" for prefix in prefixes)], rows)
    if "trajectories" in probes:
        rows = [
            [name, f"{one['away']:.2f}", f"{one['velocity']:.2f}", str(one["steps"])]
            for name, one in probes["trajectories"].items()
        ]
        yield table(["largest over blocks and steps", "x - mu", "v", "steps until far off, at most 200"], rows)
