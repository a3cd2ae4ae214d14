"""Turn the models that a run keeps on the way into models like any other, and into a list with their scores."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from abovo.errors import AbovoError
from abovo.provenance.code import Script
from abovo.provenance.files import link_or_copy
from abovo.provenance.manifest import Manifest
from abovo.provenance.products import Job, Made, produce
from abovo.reporting.meanings import headlines
from abovo.reporting.tables import markdown_table, value
from abovo.settings.checkpoints import Kept
from abovo.settings.keys import plain

SCHEMA = "abovo/checkpoints/1"
ENTRY = ("value", "interval", "n", "unit", "baseline")


def show_kept(kept: Kept, trained: Manifest, output: Path, script: Script | Path) -> Manifest:
    """Link the files of a model on the way to model/ beside `output`, its manifest; `trained` is that of its run."""

    def make(folder: Path) -> Made:
        one = next((one for one in trained.data.get("checkpoints", ()) if one["name"] == kept.name), None)
        if one is None:
            raise AbovoError(f"keeps no {kept.name}", trained.path, f"remove {trained.path} and train again")
        start = f"checkpoints/{kept.name}/"
        for name in trained.names(start):
            link_or_copy(trained.file(name), folder / "model" / name.removeprefix(start))
        counts = {"parameters": trained["counts"]["parameters"], "steps": one["step"], "tokens": one["tokens"]}
        fields = {
            **{name: trained[name] for name in ("tokenizer_sha256", "sequence_length")},
            "model_sha256": one["sha256"],
            "amount": one["amount"],
            "unit": trained["parameters"]["checkpoints"]["unit"],
        }
        return Made(counts | ({} if one["words"] is None else {"words": one["words"]}), fields)

    return produce(Job(output, "abovo/model/1", {"trained": trained}, plain(kept), script), make)


def list_kept(trained: Manifest, evaluations: Sequence[Manifest], output: Path, script: Script | Path) -> Manifest:
    """Write checkpoints.json, `output`, and checkpoints.md: of each model on the way step, tokens and words and, where
    there are `evaluations`, its scores. Raises AbovoError for scores of another model."""
    kept = trained.data.get("checkpoints", [])
    if not kept:
        mend = "give its run amounts at which models are kept, key checkpoints.at"
        raise AbovoError("keeps no models on the way", trained.path, mend)
    if evaluations and [one["model_sha256"] for one in evaluations] != [one["sha256"] for one in kept]:
        raise AbovoError("are not the scores of the models that are kept", evaluations[0].path, "evaluate them again")

    def make(folder: Path) -> Made:
        listed = [dict(one) for one in kept]
        for one, found in zip(listed, evaluations, strict=False):
            one["metrics"] = {
                name: {part: entry[part] for part in ENTRY if part in entry} for name, entry in found["metrics"].items()
            }
            one["absent"] = found["absent"]
        fields = {"unit": trained["parameters"]["checkpoints"]["unit"], "checkpoints": listed}
        (folder / "checkpoints.md").write_text(markdown(listed), encoding="utf-8")
        return Made({"checkpoints": len(listed)}, fields)

    inputs = {"trained": trained} | {
        f"evaluation/{one['name']}": found for one, found in zip(kept, evaluations, strict=False)
    }
    return produce(Job(output, SCHEMA, inputs, {}, script), make)


def markdown(listed: Sequence[Mapping[str, Any]]) -> str:
    """The list as a table, and why what is missing is."""
    head, *rows = table(listed)
    notes = [f"* {name} is absent: {why}\n" for name, why in absent(listed).items()]
    return "".join([markdown_table(head, rows), *(["\n"] if notes else []), *notes])


def table(listed: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The head, and a row for each model: what it had seen, and each metric worth a line with its 95 % interval."""
    metrics = dict(curves(listed))
    rows = [["model", "step", "tokens", "words", *metrics.values()]]
    for one in listed:
        words = "" if one["words"] is None else f"{one['words']:,}"
        found = [one.get("metrics", {}).get(name) for name in metrics]
        scores = ["" if entry is None else value(entry) for entry in found]
        rows.append([one["name"], f"{one['step']:,}", f"{one['tokens']:,}", words, *scores])
    return rows


def curves(listed: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(name, label) of the metrics worth a line; of a task of several sets that of all of them."""
    names = list(dict.fromkeys(name for one in listed for name in one.get("metrics", {})))
    found = []
    for name, label in headlines(names):
        where, _, kind = name.rpartition(".")
        if "." not in where or f"{where.partition('.')[0]}.{kind}" not in names:
            found.append((name, label))
    return found


def absent(listed: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Task that could not be had -> why."""
    return {task: why for one in listed for task, why in one.get("absent", {}).items()}
