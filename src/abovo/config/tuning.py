"""Turn the recipes by which a run trains on, continued pretraining and fine-tuning, into the packed sets that they draw
from, and into a refusal where they do not fit the run."""

import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from abovo.config.budget import asked_budget
from abovo.config.defaults import refuse_auto
from abovo.config.engines import check_engine
from abovo.config.load import find
from abovo.config.templates import template_of
from abovo.errors import AbovoError
from abovo.modeling.family import chosen_modules, family_named
from abovo.settings.cpt import Cpt
from abovo.settings.run import AnyRun, GivenRun, Phase, Run
from abovo.settings.sft import Sft
from abovo.settings.training import Training

if TYPE_CHECKING:
    from abovo.config.runs import Configuration

# What the name of a set of text among others begins with, so that it and one of these may have one name.
TEXT = "text/"


def recipe_of(run: AnyRun, stage: str) -> Cpt | Sft:
    """How a run trains on in a stage. Raises AbovoError for one that does not."""
    found = run.tunings.get(stage)
    if found is None:
        where = f"config/runs/{run.name}.yaml, key {stage}"
        raise AbovoError("is null", where, f"name a recipe of config/{stage}")
    return found


def weights_of(run: AnyRun, stage: str) -> Mapping[str, float]:
    """The weight of each set that a run trains on in a stage, by the name that its job knows it by; with text among
    them they sum to 1."""
    recipe, text = recipe_of(run, stage), text_of(run, stage)
    if recipe.beside is None:
        return recipe.own
    share, whole = recipe.beside.share, sum(recipe.own.values())
    own = {name: weight / whole * (1 - share) for name, weight in recipe.own.items()}
    both = own | {f"{TEXT}{corpus}": weight * share for corpus, weight in text.items()}
    return {name: round(weight, 12) for name, weight in both.items()}


def paths_of(run: AnyRun, stage: str) -> dict[str, str]:
    """The manifest of each of these sets, in the same order."""
    recipe, text = recipe_of(run, stage), text_of(run, stage)
    if isinstance(recipe, Sft):
        own = [f"results/instruction/{name}/{run.parts.tokenizer}/manifest.json" for name in recipe.own]
    else:
        own = packed_paths(run, recipe.own)
    names = [*recipe.own, *(f"{TEXT}{corpus}" for corpus in text)]
    return dict(zip(names, [*own, *packed_paths(run, text)], strict=True))


def packed_paths(run: AnyRun, corpora: Iterable[str]) -> list[str]:
    """The manifests of the packed rows of corpora, in the run's own tokens and length."""
    place = f"{run.parts.tokenizer}/{run.sequence_length}/manifest.json"
    return [f"results/packed/{corpus}/{place}" for corpus in corpora]


def text_of(run: AnyRun, stage: str) -> dict[str, float]:
    """The corpora of the text among what a stage is for, each with its part of that text (fractions, sum 1).

    Where the recipe names none they are those of pretraining, by what its phases draw of them. Raises AbovoError where
    there is none.
    """
    recipe = run.tunings.get(stage)
    if recipe is None or (text := recipe.beside) is None:
        return {}
    weights = dict(text.corpora or {})
    if text.corpora is None:
        for phase in run.phases:
            whole = sum(phase.corpora.values())
            for corpus, weight in phase.corpora.items():
                weights[corpus] = weights.get(corpus, 0.0) + phase.share * weight / whole
    if not weights:
        where = f"config/{stage}/{getattr(run.parts, stage)}.yaml, key {recipe.keys.beside}.corpora"
        raise AbovoError(f"is null, and run {run.name} pretrains on no corpus", where, "name corpora of config/corpora")
    whole = sum(weights.values())
    return {corpus: weight / whole for corpus, weight in weights.items()}


def corpora_continued(run: AnyRun) -> list[str]:
    """The corpora that a run's continued pretraining draws from, each once: its own, and the text among them."""
    return list(dict.fromkeys([*recipe_of(run, "cpt").own, *text_of(run, "cpt")])) if run.cpt else []


def corpora_tuned(run: AnyRun) -> list[str]:
    """The corpora that a run draws from after its pretraining, each once."""
    return list(dict.fromkeys([*corpora_continued(run), *text_of(run, "sft")]))


def scored_of(scored: str, sets: Iterable[str]) -> str:
    """What the loss of a stage is the mean over, where its conversations count as `scored`, and text may be among
    them."""
    mixed = scored != "token" and any(name.startswith(TEXT) for name in sets)
    return f"{scored} or token of text" if mixed else scored


def check_tuning(configuration: "Configuration", run: AnyRun, where: Path) -> None:
    """Raise AbovoError where a recipe by which a run trains on does not fit the run, its sets or its engine."""
    for stage, recipe in run.tunings.items():
        refuse_auto(recipe.training, where, stage)
        if isinstance(run, Run) and recipe.start is None:
            chosen_modules(family_named(run.model.family), recipe.lora.targets, f"{where}, key {stage}.lora.targets")
        _check_start(configuration, run, stage)
        asked_budget(Tuned(stage, recipe.tokens, run.sequence_length, recipe.training), str(where), f"{stage}.")
        check_engine(run.engine, recipe.training, f"{where}, key engine")
        _check_quantization(run, recipe, f"{where}, key {stage}.quantization")
    if run.cpt and run.cpt.overlap > (longest := run.sequence_length * 7 // 8):
        what = f"is {run.cpt.overlap} of rows of {run.sequence_length} ids, so that next to nothing of a row is new"
        raise AbovoError(what, f"{where}, key cpt.overlap", f"make it {longest} at most, seven eighths of a row")
    for dataset in run.sft.datasets if run.sft else ():
        template_of(configuration, dataset)
        length = configuration.shared("instruction", dataset).sequence_length
        if length != run.sequence_length:
            what = f"is {length} where run {run.name} has rows of {run.sequence_length} tokens"
            raise AbovoError(what, configuration.place("instruction", dataset, "sequence_length"), "make them equal")


def _check_start(configuration: "Configuration", run: AnyRun, stage: str) -> None:
    if recipe_of(run, stage).start is None:
        return
    place = f"{find(stage, str(getattr(run.parts, stage)), *configuration.folders)}, key start"
    if isinstance(run, GivenRun):
        raise AbovoError(f"run {run.name} starts from its model_directory already", place, "remove it")
    if stage != next(iter(run.tunings)):
        raise AbovoError(f"run {run.name} starts from its continued pretraining", place, "remove it")


def _check_quantization(run: AnyRun, recipe: Cpt | Sft, where: str) -> None:
    if recipe.quantization is None:
        return
    if recipe.adapters is None:
        raise AbovoError("all weights train, and quantized ones cannot", where, "set method to lora, or this to null")
    if run.engine.strategy not in ("none", "ddp"):
        what = f"quantized weights cannot be spread by {run.engine.strategy}"
        raise AbovoError(what, where, "use the engine torch or ddp, or set it to null")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise AbovoError("needs the package bitsandbytes", where, "pip install bitsandbytes, or set it to null")


@dataclass(frozen=True)
class Tuned:
    """What a stage that trains on has of a budget: one phase over all of it."""

    stage: str
    tokens: int
    sequence_length: int
    training: Training

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (Phase(name=self.stage, corpora={}, share=1.0),)
