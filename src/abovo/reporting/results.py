"""Turn evaluations and model manifests of a run into results.json, checked by its schema, results.md and
pipeline_config.json."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from abovo.config.load import results_schema
from abovo.errors import AbovoError
from abovo.evaluation.comparison import Compared, differences
from abovo.provenance.chain import Chain
from abovo.provenance.code import Script
from abovo.provenance.differences import MISSING, differing
from abovo.provenance.files import write_json
from abovo.provenance.manifest import Manifest
from abovo.provenance.products import Job, Made, produce
from abovo.reporting.words import results_page
from abovo.settings.check import check
from abovo.settings.keys import decisive
from abovo.settings.stages import ResultsSettings

OF_MODEL = (
    "model_sha256", "sequence_length", "train_loss_first", "train_loss_last", "validation_loss_first",
    "validation_loss", "validation_losses",
)  # fmt: skip
COUNTED = ("parameters", "steps", "tokens")
Evaluated = Mapping[str, tuple[Manifest, Manifest]]
# The same for people, beside results.json.
PAGE = "results.md"
# All settings behind the results in one file.
CONFIG = "pipeline_config.json"
# Schemas of the data whose files the results name one by one.
DATA = ("abovo/corpus/", "abovo/tokenizer/", "abovo/packed/", "abovo/instruction/", "abovo/evaluation_set/")


def assemble_results(
    evaluated: Evaluated,
    figures: Sequence[Manifest],
    config: Path,
    settings: ResultsSettings,
    output: Path,
    script: Script | Path,
) -> Manifest:
    """Write results.json of the last one of a run's models, which `evaluated` (by `pair`) has with their evaluations;
    beside it results.md, and pipeline_config.json with the settings that each artifact behind it was made with.

    All manifests behind them and behind the `figures` are found by the chain, and are one state of each; `config` is
    the folder of schemas/. Raises AbovoError where the manifests do not belong together or were made with other
    settings than the run's, a figure has other bytes than were drawn, or the outcome breaks results.schema.yaml.
    """
    stage = list(evaluated)[-1]
    tops = [item for kind in zip(*evaluated.values(), strict=True) for item in kind]
    behind = Chain().all([*tops, *figures])
    check_settings([*tops, *behind.values()], settings.made_with)
    drawn = _figures(figures)
    inputs = {f"model/{name}": model for name, (model, _) in evaluated.items()}
    inputs |= {f"evaluation/{name}": evaluation for name, (_, evaluation) in evaluated.items()}
    inputs |= {f"figures/{one.path.parent.name}/{one.path.stem}": one for one in figures}
    parameters = {**decisive(settings), "stage": stage}

    def make(folder: Path) -> Made:
        fields = {
            "run": settings.run,
            "stage": stage,
            "tokenizer_sha256": evaluated[stage][0]["tokenizer_sha256"],
            "models": {name: _model(model) for name, (model, _) in evaluated.items()},
            "absent": _absent(evaluated),
            "cut": {name: evaluation["cut"] for name, (_, evaluation) in evaluated.items()},
            "contamination": {name: evaluation["contamination"] for name, (_, evaluation) in evaluated.items()},
            "data": {path: item.digest for path, item in behind.items()},
            "files": _files(behind.values()),
            "left_out": _left_out(behind.values()),
            "metrics": _metrics(evaluated),
            "generations": {name: evaluation["generations"] for name, (_, evaluation) in evaluated.items()},
            "smoke": {name: evaluation["smoke"] for name, (_, evaluation) in evaluated.items()},
            "figures": drawn,
        }
        counts = {"metrics": len(fields["metrics"]), "generations": sum(map(len, fields["generations"].values()))}
        check_results(fields, config, output)
        (folder / PAGE).write_text(results_page(fields), encoding="utf-8")
        write_json(folder / CONFIG, _settings([*tops, *behind.values()]))
        return Made(counts, fields)

    return produce(Job(output, "abovo/results/1", inputs, parameters, script), make)


def check_results(fields: Mapping[str, Any], config: Path, where: Path) -> None:
    """Check what results.json will say against its schema, less the keys that every manifest gets on being written."""
    schema = results_schema(config)
    own = [key for key in schema["required"] if key in fields or key not in MANIFEST_KEYS]
    check(dict(fields), {**schema, "required": own}, where)


MANIFEST_KEYS = ("schema", "created_by", "digest", "inputs", "outputs", "parameters", "counts")


def pair(models: Mapping[str, Manifest], evaluations: Sequence[Manifest]) -> Evaluated:
    """Stage -> (model, evaluation), after each evaluation was found to be that of its model and tokenizer.

    `models` maps the stages' names to their models, each after the one that it came from; `evaluations` are theirs in
    the same order.
    """
    if len(models) != len(evaluations):
        what = f"{len(models)} models ({', '.join(models)}) and {len(evaluations)} evaluations are given"
        raise AbovoError(what, "assemble_results", "name the evaluation of each model, in the same order")
    first = next(iter(models.values()))
    for model, evaluation in zip(models.values(), evaluations, strict=True):
        mend = f"remove {evaluation.path} and evaluate again"
        if evaluation["model_sha256"] != model["model_sha256"]:
            raise AbovoError(f"evaluates another model than {model.path} names", evaluation.path, mend)
        for item in (model, evaluation):
            item.require_tokenizer(first["tokenizer_sha256"])
    return dict(zip(models, zip(models.values(), evaluations, strict=True), strict=True))


def _files(behind: Iterable[Manifest]) -> dict[str, str]:
    """Every file of the data that the models were made from, steps on the way to a corpus left out -> its sha256."""
    return {
        (item.path.parent / name).as_posix(): entry["sha256"]
        for item in behind
        if item["schema"].startswith(DATA)
        for name, entry in item["outputs"].items()
    }


def _left_out(behind: Iterable[Manifest]) -> dict[str, dict[str, int]]:
    """Manifest of each instruction set -> what it left out, by reason."""
    sets = (item for item in behind if item["schema"].startswith("abovo/instruction/"))
    return {item.path.as_posix(): item["counts"]["left_out"] for item in sets}


def _model(model: Manifest) -> dict[str, Any]:
    """What is known of a model; of one that was trained elsewhere, nothing of its training."""
    counts = {key: model["counts"][key] for key in COUNTED if key in model["counts"]}
    return {"manifest": model.digest, **counts, **{key: model[key] for key in OF_MODEL if key in model.data}}


def _absent(evaluated: Evaluated) -> dict[str, str]:
    """Task that could not be had -> why, for any of the models."""
    return {task: why for _, evaluation in evaluated.values() for task, why in evaluation["absent"].items()}


def _settings(manifests: Iterable[Manifest]) -> dict[str, Any]:
    """Path of each artifact -> what it was made with; steps on the way to a corpus have the settings of the corpus."""
    kinds = ("abovo/model/", "abovo/evaluation_task/", *DATA)
    return {one["created_by"]["path"]: one["parameters"] for one in manifests if one["schema"].startswith(kinds)}


def _figures(figures: Iterable[Manifest]) -> dict[str, str]:
    """Every figure and page -> its sha256, after its bytes were found to be those that were drawn."""
    return {one.file(name).as_posix(): one["outputs"][name]["sha256"] for one in figures for name in one.names()}


def check_settings(manifests: Iterable[Manifest], made_with: Mapping[str, Mapping[str, Any]]) -> None:
    """Fail where a manifest says other settings than those that the run asks for, which `made_with` has by path.

    Keys that only one of both has count for nothing: a manifest tells more than a config file, and the other way.
    """
    for manifest in manifests:
        path = manifest.path.as_posix()
        wanted = next((values for name, values in made_with.items() if f"/{path}".endswith(f"/{name}")), {})
        for key, made, asked in differing(manifest["parameters"], wanted):
            if MISSING not in (made, asked):
                mend = f"make it again: snakemake --cores 1 --force {path}"
                raise AbovoError(f"key {key}: was made with {made}, the run asks for {asked}", path, mend)


def _metrics(evaluated: Evaluated) -> dict[str, dict[str, Any]]:
    """TASK.METRIC -> its value for each model and, where the last one came from another, the difference to that one."""
    found: dict[str, dict[str, Any]] = {}
    for name, (_, evaluation) in evaluated.items():
        for key, value in evaluation["metrics"].items():
            found.setdefault(key, {})[name] = value
    last = evaluated[list(evaluated)[-1]][1]
    absent = _absent(evaluated)
    for key, values in found.items():
        if values.keys() != evaluated.keys() and key.split(".")[0] not in absent:
            what = f"{key} was measured on {', '.join(values)} only"
            raise AbovoError(what, last.path, "evaluate all models with the same settings")
    if len(evaluated) > 1:
        chain = Chain()
        before, after = (Compared(evaluated[name][1], chain) for name in list(evaluated)[-2:])
        for key, change in differences(before, after, strict=True).found.items():
            found[key]["difference"] = change
    return found
