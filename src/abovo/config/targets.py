"""Turn what Snakemake is asked for into one line, where nothing makes it: what is meant, or what there is."""

import difflib
import itertools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from abovo.config.runs import Configuration
from abovo.config.stages import STAGES, Stage, stages_up_to
from abovo.errors import AbovoError
from abovo.settings.names import ALLOWED, NAME, SHIPPED

# Wildcards that stand for names, and the folder of config/ that has them.
WILDCARDS = {
    "run": "runs",
    "corpus": "corpora",
    "tokenizer": "tokenizers",
    "dataset": "instruction",
    "evaluation": "evaluation",
    "decontamination": "decontamination",
}
# What is asked for most, first: what a folder or the name of a run alone most likely means.
ENDS = ("results.json", "manifest.json", "plan.json", "tokenizer_config.json", "evaluation.json")
MOST = 30
# {name} or {name,regular expression}, as Snakemake writes a wildcard.
WILDCARD = re.compile(r"\{(\w+)(?:,[^{}]*)?\}")


def refuse_unknown(
    configuration: Configuration, targets: Sequence[str], made: Callable[[str], bool], patterns: Sequence[str]
) -> None:
    """Raise AbovoError for the first target that is neither a rule of one artifact nor a path that a rule makes.

    `made` says whether it is; `patterns` are the paths that rules make, with wildcards as Snakemake writes them.
    """
    for target in targets:
        path = target if not target or Path(target).is_absolute() else os.path.relpath(target)
        if not made(target) and not made(path):
            raise AbovoError("names no artifact", f"target {target!r}", _mend(configuration, path, patterns))


def stages_of(run: str) -> list[Stage]:
    """The stages that lead to a run's last model, by the config/ of the folder where one is; pretraining alone for a
    name that no file has, or one that cannot be read."""
    configuration = Configuration(Path("config"), shipped=SHIPPED)
    try:
        through = configuration.stages(run) if run in configuration.names("runs") else []
    except AbovoError:  # whoever asks for the run is told what is wrong with its file
        through = []
    return stages_up_to(through[-1], through) if through else [STAGES["pretrain"]]


def _mend(configuration: Configuration, target: str, patterns: Sequence[str]) -> str:
    plain = (WILDCARD.sub(r"{\1}", pattern).replace("{below}", "") for pattern in patterns)
    artifacts = sorted({pattern for pattern in plain if pattern.startswith("results/")})
    known = sorted(set(itertools.chain.from_iterable(_filled(configuration, one) for one in artifacts)), key=_rank)
    below = [path for path in known if path.startswith(f"{target}/")]
    of_run = [path for path in known if f"/{target}/" in path] if "/" not in target else []
    meant = below or of_run or difflib.get_close_matches(target, known, 1, 0.7)
    *folders, last = target.split("/")
    odd = [part for part in (*folders, last.partition(".")[0]) if part and not NAME.fullmatch(part)]
    ends = [one for one in artifacts if one.endswith(ENDS) and _fillable(one)]
    said = f"did you mean {meant[0]}?" if meant else f"there are {', '.join(ends)}"
    said = f"{odd[0]!r} is no name: {ALLOWED}" if odd else said
    return f"{said}; the runs are {', '.join(configuration.names('runs')[:MOST])}"


def _rank(path: str) -> tuple[int, int, str]:
    """Results first, of the last stage before those of others."""
    end = next((place for place, end in enumerate(ENDS) if path.endswith(f"/{end}")), len(ENDS))
    stage = next((place for place, name in enumerate(reversed(STAGES)) if f"results/{name}/" in path), len(STAGES))
    return end, stage, path


def _fillable(pattern: str) -> bool:
    return set(WILDCARD.findall(pattern)) <= {"stage", *WILDCARDS}


def _goes(configuration: Configuration, run: str, stage: str) -> bool:
    """Whether a run goes through a stage."""
    try:
        return stage in configuration.stages(run)
    except AbovoError:  # whoever asks for the run is told what is wrong with its file
        return STAGES[stage].trained


def _filled(configuration: Configuration, pattern: str) -> Iterator[str]:
    """The paths that a pattern stands for, with all names that there are; none for one of parts and phases."""
    wildcards = list(dict.fromkeys(WILDCARD.findall(pattern)))
    if not _fillable(pattern):
        return
    names = [list(STAGES) if one == "stage" else configuration.names(WILDCARDS[one]) for one in wildcards]
    for values in itertools.product(*names):
        found = dict(zip(wildcards, values, strict=True))
        if {"run", "stage"} <= found.keys() and not _goes(configuration, found["run"], found["stage"]):
            continue
        path = pattern
        for wildcard, value in zip(wildcards, values, strict=True):
            path = path.replace(f"{{{wildcard}}}", value)
        yield path
