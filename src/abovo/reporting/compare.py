"""Turn the evaluations of several models into a comparison: tables in Markdown, CSV and LaTeX, and a figure."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from abovo.errors import AbovoError
from abovo.evaluation.comparison import CENTRED, CentredMean, Compared, Differences, centred_mean, differences
from abovo.provenance.chain import Chain
from abovo.provenance.code import Script
from abovo.provenance.manifest import Manifest
from abovo.provenance.products import Job, Made, produce
from abovo.reporting.difference_figure import draw_differences
from abovo.reporting.meanings import is_of_set
from abovo.reporting.tables import Line, latex, markdown, markdown_table, separated
from abovo.reporting.words import VERDICTS, gaps, sections

SCHEMA = "abovo/comparison/1"


def compare_models(evaluations: Mapping[str, Manifest], output: Path, script: Script | Path) -> Manifest:
    """Compare models by their evaluations, each with the first one, on the rows that both were scored on.

    `evaluations` maps names to evaluations. Makes .md, .csv, .tex and .svg beside `output`, their manifest. Raises
    AbovoError for fewer than two models, and where two have no metric on the same rows.
    """
    models = list(evaluations)
    if len(models) < 2:
        raise AbovoError(f"is of {', '.join(models)} alone", output, "name two or more models")
    first, *others = models
    against = dict.fromkeys(others, first)

    def make(folder: Path) -> Made:
        chain = Chain()
        read = {name: Compared(one, chain) for name, one in evaluations.items()}
        found = {name: differences(read[first], read[name]) for name in others}
        for name, one in found.items():
            if not one.found:
                what = f"no metric was measured on the same rows as those of {first}"
                raise AbovoError(what, evaluations[name].path, "evaluate both with the same tasks")
        lines = _lines(read, found)
        mean = centred_mean(list(read.values()), list(found.values()))
        if mean is not None:
            lines.insert(0, _centred(mean, read, first))
        stem = output.name.removesuffix(".json")
        told = [line for line in lines if not is_of_set(line.name, {one.name for one in lines})]
        (folder / f"{stem}.md").write_text(_page(lines, read, found, against, mean), encoding="utf-8")
        (folder / f"{stem}.csv").write_text(separated(lines, models, against), encoding="utf-8")
        (folder / f"{stem}.tex").write_text(latex(told, models, against), encoding="utf-8")
        draw_differences(told, against, f"difference from {first}", folder / f"{stem}.svg")
        return Made({"models": len(models), "metrics": len(lines)}, {"models": models, "metrics": _said(lines, models)})

    inputs = {f"evaluation/{name}": one for name, one in evaluations.items()}
    return produce(Job(output, SCHEMA, inputs, {"models": models}, script), make)


def _lines(read: Mapping[str, Compared], found: Mapping[str, Differences]) -> list[Line]:
    """A line for each metric that any two models share rows of."""
    lines = []
    for name in dict.fromkeys(name for one in found.values() for name in one.found):
        entries = {model: one.metrics[name] for model, one in read.items() if name in one.metrics}
        changes = {model: one.found[name] for model, one in found.items() if name in one.found}
        lines.append(Line(name, entries, changes))
    return lines


def _centred(mean: CentredMean, read: Mapping[str, Compared], first: str) -> Line:
    entries = {model: mean.entry(one) for model, one in read.items()}
    changes = {model: mean.difference(read[first], one) for model, one in read.items() if model != first}
    return Line(mean.name, entries, changes)


def _said(lines: Sequence[Line], models: Sequence[str]) -> dict[str, dict[str, object]]:
    """What the manifest holds of each line: value and interval of each model, and its difference."""
    kept = ("value", "interval", "n", "unit")
    return {
        line.name: {
            model: {key: line.entries[model][key] for key in kept} | {"difference": line.changes.get(model)}
            for model in models
            if model in line.entries
        }
        for line in lines
    }


def _page(
    lines: Sequence[Line],
    read: Mapping[str, Compared],
    found: Mapping[str, Differences],
    against: Mapping[str, str],
    mean: CentredMean | None,
) -> str:
    models = list(read)
    parts = [f"# {', '.join(models)}\n", f"Differences are those from {models[0]}, on the same rows. {VERDICTS}\n"]
    rest = list(lines)
    if mean is not None:
        parts += ["## Mean over tasks\n", markdown(rest[:1], models, against), f"{mean.name}: {CENTRED.meaning}.\n"]
        rest = rest[1:]
    parts += sections(rest, models, against)
    absent = {f"{task} ({model})": why for model, one in read.items() for task, why in one.evaluation["absent"].items()}
    parts += gaps(absent, {model: one.evaluation["cut"] for model, one in read.items()})
    parts += _left_out(found)
    return "\n".join(parts)


def _left_out(found: Mapping[str, Differences]) -> Iterator[str]:
    """What was measured and not compared, with the reason."""
    rows = [[name, model, reason] for model, one in found.items() for name, reason in one.left_out.items()]
    if rows:
        yield "## Not compared\n"
        yield markdown_table(["metric", "model", "why"], rows)
