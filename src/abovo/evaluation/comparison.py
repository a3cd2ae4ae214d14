"""Turn the evaluations of two models into the differences between them, metric by metric, on the same rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from abovo.errors import AbovoError
from abovo.evaluation.assemble import scores_by_metric
from abovo.evaluation.measures import Measure, measure_of
from abovo.evaluation.paired import mean_difference, paired_difference
from abovo.evaluation.statistics import Interval, Scores, combined, metric, proportion_interval
from abovo.provenance.chain import Chain
from abovo.provenance.manifest import Manifest

Entry = Mapping[str, Any]
# What differs between tokenizers although the text does not.
OF_TOKENIZER = ("tokens", "targets")
# Tasks that are not those of a config file: what a run's own corpora hold out, and what a model writes.
OWN = ("held_out", "conversations", "generations")
CENTRED = Measure(
    "proportion", "higher", "centred mean",
    "mean over tasks of (accuracy - chance) / (1 - chance), chance being 0 where nothing is chosen from; 0 is guessing"
    " and 1 all right; higher is better",
)  # fmt: skip


@dataclass(frozen=True)
class Compared:
    """A model's evaluation with the evidence behind it."""

    evaluation: Manifest
    chain: Chain

    @cached_property
    def tasks(self) -> dict[str, Manifest]:
        roles = (role for role in self.evaluation["inputs"] if role.startswith("task/"))
        return {role.removeprefix("task/"): self.chain.input(self.evaluation, role) for role in roles}

    @cached_property
    def scores(self) -> dict[str, Scores]:
        """NAME.METRIC of each set -> what its rows add to it."""
        return {name: one for task in self.tasks.values() for name, one in scores_by_metric(task).items()}

    @property
    def metrics(self) -> Mapping[str, Entry]:
        found: Mapping[str, Entry] = self.evaluation["metrics"]
        return found

    def members(self, name: str) -> list[str]:
        """The metrics of sets whose mean a metric is; itself where it is that of one set."""
        if name in self.scores:
            return [name]
        task, _, kind = name.rpartition(".")
        return [one for one in self.scores if one.startswith(f"{task}.") and one.endswith(f".{kind}")]

    def measured(self, name: str) -> tuple[float, Interval]:
        """The value of a proportion and its interval, before they were rounded."""
        sets, measure = [self.scores[one] for one in self.members(name)], measure_of(name)
        intervals = [proportion_interval(one)[0] for one in sets]
        return combined([measure.value(one) for one in sets], intervals, [1 / len(sets)] * len(sets))

    def stands_for(self) -> dict[str, str]:
        """Task -> the accuracy that stands for it in means, for each task that has one."""
        found: dict[str, str] = {}
        for name, task in self.tasks.items():
            prepared = self.chain.input(task, "items")["parameters"] if "items" in task["inputs"] else {}
            chosen = prepared.get("task", {}).get("metric")
            kinds = [] if name in OWN else [chosen] if chosen else ["accuracy", "exact_match"]
            there = [f"{name}.{kind}" for kind in kinds if f"{name}.{kind}" in self.metrics]
            if there and measure_of(there[0]).form == "proportion":
                found[name] = there[0]
        return found


@dataclass(frozen=True)
class Differences:
    """By metric, what changed; and why nothing is said of the others."""

    found: Mapping[str, Entry]
    left_out: Mapping[str, str]


def differences(before: Compared, after: Compared, *, strict: bool = False) -> Differences:
    """What changed from one model to the other in each metric that both have.

    What was measured on other rows is left out with the reason; with `strict` it is an error, which names the task.
    """
    found, left_out = {}, {}
    for name in dict.fromkeys([*before.metrics, *after.metrics]):
        reason = _incomparable(name, before, after)
        if reason is None:
            try:
                found[name] = _difference(name, before, after).entry()
            except AbovoError as error:
                if strict:
                    raise
                reason = f"the rows are not the same: {error.what}"
        if reason is not None:
            left_out[name] = reason
    return Differences(found, left_out)


def _difference(name: str, before: Compared, after: Compared) -> Any:
    task, measure, members = name.rpartition(".")[0], measure_of(name), before.members(name)
    if members != after.members(name):
        raise AbovoError("it has other sets than before", f"task {task}", "evaluate both models with the same tasks")
    if members == [name]:
        return paired_difference(task, measure, before.scores[name], after.scores[name])
    pairs = [(before.scores[one], after.scores[one]) for one in members]
    return mean_difference(task, measure, pairs, [1 / len(pairs)] * len(pairs))


def _incomparable(name: str, before: Compared, after: Compared) -> str | None:
    task = name.rpartition(".")[0]
    for one in (before, after):
        if name not in one.metrics:
            absent = one.evaluation.data.get("absent", {})
            reasons = [reason for other, reason in absent.items() if f"{task}.".startswith(f"{other}.")]
            return f"absent: {reasons[0]}" if reasons else "it was measured on one of the two alone"
    tokenizers = {one.evaluation["tokenizer_sha256"] for one in (before, after)}
    if measure_of(name).whole in OF_TOKENIZER and len(tokenizers) > 1:
        return "it counts tokens, and the models have other tokenizers"
    return None


@dataclass(frozen=True)
class CentredMean:
    """Which accuracies a centred mean is made of, each with the accuracy of guessing."""

    chances: Mapping[str, float]

    @property
    def name(self) -> str:
        """What exactly it holds."""
        return f"centred_mean({', '.join(self.chances)})"

    def weights(self) -> list[float]:
        return [1 / (len(self.chances) * (1 - chance)) for chance in self.chances.values()]

    def entry(self, model: Compared) -> dict[str, Any]:
        """Its value with its interval, from what a model reached on the rows."""
        parts = [model.measured(name) for name in self.chances]
        value, interval = combined([one for one, _ in parts], [ends for _, ends in parts], self.weights())
        below = sum(weight * chance for weight, chance in zip(self.weights(), self.chances.values(), strict=True))
        ends = (interval[0] - below, interval[1] - below)
        how = f"from the limits of {len(parts)} tasks (Zou and Donner 2008)"
        return metric(value - below, len(parts), "tasks", ends, how, {"chance": 0.0})

    def difference(self, before: Compared, after: Compared) -> dict[str, Any]:
        """What changed, on the same rows of all its tasks."""
        pairs, weights = [], []
        for name, weight in zip(self.chances, self.weights(), strict=True):
            members = before.members(name)
            pairs += [(before.scores[one], after.scores[one]) for one in members]
            weights += [weight / len(members)] * len(members)
        return mean_difference(self.name, CENTRED, pairs, weights).entry()


def centred_mean(models: Sequence[Compared], comparable: Sequence[Differences]) -> CentredMean | None:
    """The mean over the tasks that all models were scored on, on the same rows; None where there is none."""
    first = models[0]
    names = [name for name in first.stands_for().values() if all(name in one.found for one in comparable)]
    chances = {name: float(first.metrics[name]["baseline"].get("chance", 0.0)) for name in names}
    return CentredMean(chances) if chances else None
