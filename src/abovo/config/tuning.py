"""Turn the SFT recipe of a run into the packed sets that it draws from: conversations, and text among them; and into a
refusal where it does not fit the run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from abovo.config.budget import budget
from abovo.config.defaults import refuse_auto
from abovo.config.engines import check_engine
from abovo.config.load import find
from abovo.config.templates import template_of
from abovo.errors import AbovoError
from abovo.modeling.family import chosen_modules, family_named
from abovo.settings.run import AnyRun, GivenRun, Phase, Run
from abovo.settings.sft import Sft
from abovo.settings.training import Training

if TYPE_CHECKING:
    from abovo.config.runs import Configuration

# What the name of a set of text begins with, so that a corpus and a set of conversations may have one name.
TEXT = "text/"


def sft_of(run: AnyRun) -> Sft:
    """How a run is fine-tuned. Raises AbovoError for one that is not."""
    if run.sft is None:
        raise AbovoError("is null", f"config/runs/{run.name}.yaml, key sft", "name a recipe of config/sft")
    return run.sft


def weights_of(run: AnyRun) -> Mapping[str, float]:
    """The weight of each set that a run is fine-tuned on, by the name that its job knows it by; with text among the
    conversations they sum to 1."""
    sft, text = sft_of(run), text_of(run)
    if sft.text is None:
        return sft.datasets
    share, whole = sft.text.share, sum(sft.datasets.values())
    conversations = {name: weight / whole * (1 - share) for name, weight in sft.datasets.items()}
    both = conversations | {f"{TEXT}{corpus}": weight * share for corpus, weight in text.items()}
    return {name: round(weight, 12) for name, weight in both.items()}


def paths_of(run: AnyRun) -> dict[str, str]:
    """The manifest of each of these sets, in the same order."""
    tokenizer, text = run.parts.tokenizer, text_of(run)
    conversations = {name: f"results/instruction/{name}/{tokenizer}/manifest.json" for name in sft_of(run).datasets}
    names = (f"{TEXT}{corpus}" for corpus in text)
    return conversations | dict(zip(names, packed_paths(run, text), strict=True))


def packed_paths(run: AnyRun, corpora: Iterable[str]) -> list[str]:
    """The manifests of the packed rows of corpora, in the run's own tokens and length."""
    place = f"{run.parts.tokenizer}/{run.sequence_length}/manifest.json"
    return [f"results/packed/{corpus}/{place}" for corpus in corpora]


def text_of(run: AnyRun) -> dict[str, float]:
    """The corpora of the text among a run's conversations, each with its part of the text (fractions, sum 1).

    Where the recipe names none they are those of pretraining, by what its phases draw of them. Raises AbovoError where
    there is none.
    """
    text = run.sft.text if run.sft else None
    if text is None:
        return {}
    weights = dict(text.corpora or {})
    if text.corpora is None:
        for phase in run.phases:
            whole = sum(phase.corpora.values())
            for corpus, weight in phase.corpora.items():
                weights[corpus] = weights.get(corpus, 0.0) + phase.share * weight / whole
    if not weights:
        where = f"config/sft/{run.parts.sft}.yaml, key text.corpora"
        raise AbovoError(f"is null, and run {run.name} pretrains on no corpus", where, "name corpora of config/corpora")
    whole = sum(weights.values())
    return {corpus: weight / whole for corpus, weight in weights.items()}


def scored_of(scored: str, sets: Iterable[str]) -> str:
    """What the loss of a stage is the mean over, where its conversations count as `scored`, and text may be among
    them."""
    return f"{scored} or token of text" if any(name.startswith(TEXT) for name in sets) else scored


def check_tuning(configuration: "Configuration", run: AnyRun, where: Path) -> None:
    """Raise AbovoError where the recipe of a run's fine-tuning does not fit the run, its sets or its engine."""
    sft = run.sft
    if sft is None:
        return
    refuse_auto(sft.training, where)
    if isinstance(run, Run) and sft.start is None:
        chosen_modules(family_named(run.model.family), sft.lora.targets, f"{where}, key sft.lora.targets")
    if isinstance(run, GivenRun) and sft.start is not None:
        place = f"{find('sft', str(run.parts.sft), *configuration.folders)}, key start"
        raise AbovoError(f"run {run.name} starts from its model_directory already", place, "remove it")
    budget(Tuned(sft.tokens, run.sequence_length, sft.training), str(where), "sft.")
    for dataset in sft.datasets:
        template_of(configuration, dataset)
        length = configuration.shared("instruction", dataset).sequence_length
        if length != run.sequence_length:
            what = f"is {length} where run {run.name} has rows of {run.sequence_length} tokens"
            raise AbovoError(what, configuration.place("instruction", dataset, "sequence_length"), "make them equal")
    check_engine(run.engine, sft.training, f"{where}, key engine")


@dataclass(frozen=True)
class Tuned:
    """What fine-tuning has of a budget: one phase over all of it."""

    tokens: int
    sequence_length: int
    training: Training

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase(name="sft", corpora={}, share=1.0),)
