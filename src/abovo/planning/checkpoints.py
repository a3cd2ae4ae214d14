"""Turn the amounts at which a run keeps its model into the steps to expect, and refuse text that its limits forbid."""

from collections.abc import Mapping, Sequence
from typing import Any

from abovo.config.budget import Budget
from abovo.errors import AbovoError
from abovo.planning.disk import BYTES_PER_TOKEN, corpus_tokens
from abovo.settings.checkpoints import checkpoint_name
from abovo.settings.stages import PlanSettings

# What a word of English takes with the blank after it (bytes); 5.4 in transcribed speech, 6.0 in an encyclopaedia.
BYTES_PER_WORD = 5.7


def expected_checkpoints(settings: PlanSettings, plan: Budget) -> list[dict[str, Any]]:
    """Per model on the way its name, amount and unit, and the step after which it is kept: reckoned for tokens,
    estimated for words (`estimated`), null where the budget is not expected to reach it."""
    asked = settings.run.checkpoints
    seen = plan.tokens_per_step * (1.0 if asked.unit == "tokens" else _words_per_token(settings))
    found = []
    for amount in asked.all:
        step = plan.steps if amount == asked.end else int(-(-amount // seen))
        found.append(
            {
                "name": checkpoint_name(amount),
                "amount": amount,
                "unit": asked.unit,
                "step": step if step <= plan.steps else None,
                "estimated": asked.unit == "words" and amount != asked.end,
            }
        )
    return found


def _words_per_token(settings: PlanSettings) -> float:
    """Of all phases together, by the bytes that a token of each corpus is taken to stand for."""
    words = 0.0
    for phase in settings.run.phases:
        whole = sum(phase.corpora.values())
        for name, weight in phase.corpora.items():
            bytes_per_token = settings.corpora[name].bytes_per_token or BYTES_PER_TOKEN
            words += phase.share * weight / whole * bytes_per_token / BYTES_PER_WORD
    return words


def refuse_beyond(times: Mapping[str, float], settings: PlanSettings, where: str) -> None:
    """Raise AbovoError where a corpus, taken whole, would be gone through more often than the run allows."""
    most = settings.run.limits.epochs
    for name, epochs in times.items():
        if most is not None and epochs > most and corpus_tokens(settings.corpora[name]):
            what = f"{name} would be gone through {epochs:.4g} times, allowed are {most:g}"
            raise AbovoError(what, f"{where}, key limits.epochs", "lower the run's tokens, or enlarge the corpus")


def describe_checkpoints(expected: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a person should know of them."""
    if not expected:
        return []
    about = "about " if any(one["estimated"] for one in expected) else ""
    steps = ", ".join(f"{one['name']} {one['step']:,}" for one in expected if one["step"])
    lines = [f"models on the way, after step ({about.strip() or 'exact'}): {steps}"]
    lines += [
        f"warning: {one['name']} is likely beyond the budget, by an estimate; the training refuses it if it is so"
        for one in expected
        if one["step"] is None
    ]
    together: dict[int, list[str]] = {}
    for one in expected:
        together.setdefault(one["step"], []).append(one["name"])
    return lines + [
        f"warning: {', '.join(names)} are one model, that of step {step:,}: a step is longer than what parts them"
        for step, names in together.items()
        if step and len(names) > 1
    ]
