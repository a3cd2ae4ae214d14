"""Turn metrics of several models and their differences into tables: Markdown, CSV and LaTeX."""

import csv
import io
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from abovo.evaluation.measures import MEASURES

Entry = Mapping[str, Any]
# What LaTeX takes for more than itself -> how it is written.
LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "_&%#${}"},
    "~": r"\textasciitilde{}",
    "^": r"\^{}",
}
COLUMNS = (
    "metric", "model", "value", "low", "high", "n", "unit", "interval_method", "baselines",
    "against", "difference", "difference_low", "difference_high", "difference_method", "p", "test", "verdict", "better",
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One metric: what each model reached (by its title), and what changed to each from the one it is held against."""

    name: str
    entries: Mapping[str, Entry]
    changes: Mapping[str, Entry] = field(default_factory=dict)
    reason: str = ""
    """Why nothing is said of a change."""

    @property
    def task(self) -> str:
        return self.name.rpartition(".")[0]

    @property
    def any_entry(self) -> Entry:
        return next(iter(self.entries.values()))


def lines_of(metrics: Mapping[str, Mapping[str, Entry]], titles: Mapping[str, str]) -> list[Line]:
    """The lines of the metrics of results.json: NAME -> {model: entry, "difference": that of the last model}."""
    last = list(titles.values())[-1]
    found = []
    for name, values in metrics.items():
        entries = {title: values[model] for model, title in titles.items() if model in values}
        change = values.get("difference", {})
        changes = {last: change} if "verdict" in change else {}
        found.append(Line(name, entries, changes, change.get("reason", "")))
    return found


def by_task(lines: Iterable[Line]) -> dict[str, list[Line]]:
    """Task -> its lines; those of the sets of a task stand under it, after its mean."""
    lines = list(lines)
    several = [line.task for line in lines if "sets" in line.any_entry]
    found: dict[str, list[Line]] = {}
    for line in lines:
        task = next((one for one in several if line.task.startswith(f"{one}.")), line.task)
        found.setdefault(task, []).append(line)
    return {task: sorted(some, key=lambda line: line.task != task) for task, some in found.items()}


def markdown(lines: Sequence[Line], models: Sequence[str], against: Mapping[str, str], task: str = "") -> str:
    """A table with a row for each line, and for each model its value with its interval, and after those that are
    held `against` another one the difference and its verdict."""
    head = ["metric", *_columns(models, against, "{}", "difference from {}", "verdict"), "n", "baselines"]
    rows = []
    for line in lines:
        cells = [line.name.removeprefix(f"{task}.")]
        for model in models:
            entry = line.entries.get(model)
            cells.append(value(entry) if entry else "not measured")
            if model in against:
                change = line.changes.get(model)
                cells += [value(change, signed=True), verdict(change)] if change else ["", line.reason]
        one = line.any_entry
        baselines = ", ".join(f"{what} {number:.4g}" for what, number in one["baseline"].items())
        rows.append([*cells, f"{counted(line)} {one['unit']}", baselines])
    return markdown_table(head, rows)


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    written = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (head, *rows)]
    written.insert(1, "|" + "---|" * len(head))
    return "\n".join(written) + "\n"


def _columns(models: Sequence[str], against: Mapping[str, str], *forms: str) -> list[str]:
    model_form, change_form, verdict_form = forms
    found = []
    for model in models:
        found.append(model_form.format(model))
        if model in against:
            found += [change_form.format(against[model]), verdict_form]
    return found


def counted(line: Line) -> str:
    """How many items a metric was measured on; each number, where models differ in it."""
    return " / ".join(dict.fromkeys(f"{entry['n']:,}" for entry in line.entries.values()))


def value(entry: Entry, *, signed: bool = False) -> str:
    """A value with its interval."""
    form = "{:+.4g}" if signed else "{:.4g}"
    told = form.format(entry["value"])
    return told if entry["interval"] is None else "{} ({} to {})".format(told, *map(form.format, entry["interval"]))


def verdict(change: Entry) -> str:
    """What may be said of a difference."""
    if "better" not in change:
        return str(change["verdict"])
    return f"{change['verdict']}, {'better' if change['better'] else 'worse'}"


def latex(lines: Sequence[Line], models: Sequence[str], against: Mapping[str, str]) -> str:
    """A tabular of the package booktabs: a row for each line, and beside each value and difference its interval."""
    head = ["metric", "$n$", *_columns(models, against, "{}", "difference from {}", "verdict")]
    rows = []
    for line in lines:
        cells = [line.name, counted(line)]
        for model in models:
            entry = line.entries.get(model)
            cells.append(value(entry) if entry else "--")
            if model in against:
                change = line.changes.get(model)
                cells += [value(change, signed=True), verdict(change)] if change else ["--", "--"]
        rows.append(cells)
    body = " \\\\\n".join(" & ".join(map(_escaped, row)) for row in rows)
    top = " & ".join(_escaped(cell) if cell != "$n$" else cell for cell in head)
    form = "lr" + "".join("lll" if model in against else "l" for model in models)
    return (
        f"\\begin{{tabular}}{{{form}}}\n\\toprule\n{top} \\\\\n\\midrule\n{body} \\\\\n\\bottomrule\n\\end{{tabular}}\n"
    )


def _escaped(text: str) -> str:
    return re.sub(r"[\\_&%#${}~^]", lambda sign: LATEX[sign.group()], text)


def separated(lines: Sequence[Line], models: Sequence[str], against: Mapping[str, str]) -> str:
    """A row of CSV for each line and model, with all digits."""
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for line in lines:
        for model in models:
            if model in line.entries:
                writer.writerow(_row(line, model, against.get(model, "")))
    return file.getvalue()


def _row(line: Line, model: str, other: str) -> dict[str, Any]:
    entry, change = line.entries[model], line.changes.get(model)
    low, high = entry["interval"] or ("", "")
    row = {"metric": line.name, "model": model, "value": entry["value"], "low": low, "high": high}
    row |= {key: entry[key] for key in ("n", "unit", "interval_method")}
    row["baselines"] = "; ".join(f"{what}: {number:.9g}" for what, number in entry["baseline"].items())
    if change is None:
        return row
    low, high = change["interval"] or ("", "")
    row |= {"against": other, "difference": change["value"], "difference_low": low, "difference_high": high}
    row |= {"difference_method": change["interval_method"], "verdict": change["verdict"]}
    return row | {key: change[key] for key in ("p", "test", "better") if key in change}


def label(name: str) -> str:
    """What a metric is called beside others in a figure."""
    task, _, kind = name.rpartition(".")
    told = f"{task}, {MEASURES[kind].label}" if kind in MEASURES else name.replace("_", " ", 1)
    return textwrap.fill(told, 36, break_on_hyphens=False)
