"""Turn the shapes of a study of the INL family and of a transformer of equal size into finished trials on nano's text.

Each contestant gets the same number of tuning trials: three rates at either value of a knob of its own, then two more
rates beside the best. Its best rate and knob serve all its other trials, which have seeds that no tuning had.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from trained import SCRIPT, Runs, Settings, model, run_settings, training

LENGTH, BATCH_TOKENS, ROWS = 256, 2048, 4096
WARMUP_SHARE = 0.1
RATES = (0.001, 0.002, 0.004)
TUNING_SEED, SEEDS = 0, (1, 2, 3)
STEPS = (1, 2, 5, 10)
INL_KNOB, QWEN3_KNOB = ("position_scale", (0.02, 0.0)), ("residual_init", ("normal", "zero"))


@dataclass(frozen=True)
class Contestant:
    """A shape of config/models with values of its own, and the knob that is tuned beside the rate."""

    name: str
    shape: str
    knob: tuple[str, tuple[Any, ...]]
    values: tuple[tuple[str, Any], ...] = ()

    def model(self, **values: Any) -> Settings:
        return model({**dict(self.values), **values}, self.shape)

    def flops_per_token(self) -> int:
        """Operations of training, by the family's formula."""
        from abovo.modeling.cost import training_flops_per_token
        from abovo.modeling.family import shape_of

        return training_flops_per_token(shape_of(self.model()), ROWS, LENGTH)


# Attention has three more matrices than the mean, so its feed-forward layer is narrower: 264 parameters fewer in all
ATTENTION = (("context", "attention"), ("heads", 4), ("feed_forward", 246))
CONTESTANTS = {
    one.name: one
    for one in (
        Contestant("qwen3", "nano", QWEN3_KNOB),
        Contestant("causal_mean", "inl-nano", INL_KNOB),
        Contestant("attention", "inl-nano", INL_KNOB, ATTENTION),
    )
}


class Choice(NamedTuple):
    """What a contestant was tuned to."""

    rate: float
    knob: Any


class Trial(NamedTuple):
    """A training that the study compares: by contestant, T and budget, with a seed."""

    contestant: str
    steps: int | None
    tokens: int
    seed: int


def settings_of(
    one: Contestant,
    choice: Choice,
    tokens: int,
    seed: int,
    steps: int | None = None,
    auxiliary: Mapping[str, Any] | None = None,
) -> Settings:
    """What the trainer takes: nano's recipe at another rate, with a warm-up that fits a short run; `steps` is T,
    `auxiliary` the recipe's losses beside the cross-entropy."""
    values = {
        "optimizer.learning_rate": choice.rate, "schedule.warmup_steps": round(WARMUP_SHARE * tokens / BATCH_TOKENS),
        "tensorboard": False, "batch_tokens": BATCH_TOKENS, "micro_batch_sequences": BATCH_TOKENS // LENGTH,
        "validation_interval": 10**6, "checkpoint_interval": 10**6, "auxiliary": dict(auxiliary or {}),
    }  # fmt: skip
    shape = {one.knob[0]: choice.knob} | ({"integration_steps": steps} if steps else {})
    return run_settings(one.model(**shape), training("nano", values), tokens, LENGTH, seed)


def with_held_out(packed: Path, first: float, end: float, output: Path) -> Path:
    """A packed set of the same training rows that holds out only a part of each source's rows, from the share `first`
    to the share `end` of them; returns its manifest, `output`."""
    from abovo.packing.bins import RowWriter, open_bin, read_index
    from abovo.provenance.manifest import read_manifest
    from abovo.provenance.products import Job, Made, produce

    whole = read_manifest(packed, "abovo/packed/1")
    fields = {key: whole[key] for key in ("tokenizer_sha256", "vocabulary_size", "dtype", *whole["parameters"])}

    def make(folder: Path) -> Made:
        for name in ("train.bin", "train.idx"):
            os.link(whole.file(name), folder / name)
        rows = open_bin(whole, "val")
        with RowWriter(folder, "val", whole["sequence_length"], whole["vocabulary_size"]) as val:
            places = {}
            for source, (start, stop) in read_index(whole, "val")["sources"].items():
                part = rows[start + round(first * (stop - start)) : start + round(end * (stop - start))]
                places[source] = [val.rows, val.rows + len(part)]
                val.write(part.reshape(-1))
            val.fields["sources"] = places
        return Made({"train": whole["counts"]["train"], "val": {"rows": val.rows}}, fields)

    produce(Job(output, "abovo/packed/1", {"whole": whole}, {"first": first, "end": end}, SCRIPT), make)
    return output


def loss_of(result: dict[str, Any]) -> float:
    """Validation loss (nats per token); infinite where the training diverged."""
    return result.get("validation_loss", float("inf"))


class Study:
    """Which trials there are, in the order in which a study that is cut short is worth most."""

    def __init__(self, tuning: Runs, runs: Runs, tuning_tokens: int, tokens: int, train: bool) -> None:
        """`tuning` runs on text that `runs`, whose losses are reported, do not hold out."""
        self.tuning_runs, self.runs, self.train = tuning, runs, train
        self.tuning_tokens, self.tokens = tuning_tokens, tokens

    def result(self, runs: Runs, settings: Settings) -> dict[str, Any] | None:
        """Of a trial that is kept, or is trained now if this study trains; else None."""
        return runs.results([settings])[0] if self.train else runs.kept(settings)

    def tuning(self, one: Contestant) -> dict[Choice, float | None]:
        """Validation loss (nats) by rate and knob: the grid, then both neighbours of its best between the rates of the
        grid, or the next two beyond its edge."""
        knobs = one.knob[1]
        found = {Choice(rate, knob): self._tuned(one, Choice(rate, knob)) for knob in knobs for rate in RATES}
        known = {choice: loss for choice, loss in found.items() if loss is not None}
        if len(known) < len(found):
            return found
        best = min(known, key=known.__getitem__)
        further = {min(RATES): (0.5, 0.25), max(RATES): (2.0, 4.0)}.get(best.rate, (0.5**0.5, 2**0.5))
        rates = [round(best.rate * factor, 6) for factor in further]
        return found | {choice: self._tuned(one, choice) for choice in (Choice(rate, best.knob) for rate in rates)}

    def _tuned(self, one: Contestant, choice: Choice) -> float | None:
        result = self.result(self.tuning_runs, settings_of(one, choice, self.tuning_tokens, TUNING_SEED))
        return None if result is None else loss_of(result)

    def choices(self) -> dict[str, Choice]:
        """The best rate and knob of each contestant whose tuning is complete."""
        found = {}
        for name, one in CONTESTANTS.items():
            losses = {choice: loss for choice, loss in self.tuning(one).items() if loss is not None}
            if len(losses) == len(RATES) * len(one.knob[1]) + 2:
                found[name] = min(losses, key=losses.__getitem__)
        return found

    def equal_operations(self, name: str) -> int:
        """Tokens of a contestant for the operations that the dearest one takes for `tokens` (whole batches)."""
        dearest = max(one.flops_per_token() for one in CONTESTANTS.values())
        share = dearest / CONTESTANTS[name].flops_per_token()
        return round(share * self.tokens / BATCH_TOKENS) * BATCH_TOKENS

    def trials(self) -> Iterator[Trial]:
        """All of them: both comparisons seed by seed, then the numbers of integration steps."""
        for seed in SEEDS:
            for tokens in (lambda _: self.tokens, self.equal_operations):
                yield from (Trial(name, None, tokens(name), seed) for name in CONTESTANTS)
        for seed in SEEDS:
            yield from (Trial("causal_mean", steps, self.tokens, seed) for steps in STEPS)

    def settings(self, trial: Trial, choice: Choice) -> Settings:
        one = CONTESTANTS[trial.contestant]
        own = one.model().get("integration_steps")
        # the number of steps that the shape has anyway is the same trial
        steps = None if trial.steps == own else trial.steps
        return settings_of(one, choice, trial.tokens, trial.seed, steps)

    def results(self) -> dict[Trial, dict[str, Any]]:
        """All trials that are there, trained where this study trains."""
        choices, found = self.choices(), {}
        for trial in self.trials():
            if trial.contestant in choices:
                result = self.result(self.runs, self.settings(trial, choices[trial.contestant]))
                if result is not None:
                    found[trial] = result
        return found
