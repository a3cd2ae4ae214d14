"""Turn results into a page of Markdown: a table for each task, what is absent or cut, and how all was measured."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from abovo.evaluation.measures import measure_of
from abovo.evaluation.smoke import FORM
from abovo.reporting.meanings import headlines
from abovo.reporting.tables import Line, by_task, lines_of, markdown, markdown_table

VERDICTS = (
    "`within noise` means that the rows do not tell the models apart: the 95 % interval of the difference on the same"
    " rows holds 0, or the exact test does not reject at 5 %. Of metrics that did not change one in twenty will seem to"
    " have."
)
PAPERS = (
    "To compare with a paper, take perplexity per word or bits per byte, which do not depend on the tokenizer, and only"
    " where it scored the same text with the same detokenising, context and stride: more context or a smaller stride"
    " alone makes perplexity lower, and perplexity per token cannot be compared across tokenizers."
)
# What of a protocol is told by itself, beside `how`.
TOLD = {"context_tokens": "context of {} tokens", "stride": "stride of {} tokens", "shots": "{} examples"}


def results_page(fields: Mapping[str, Any]) -> str:
    """What results.json says, for people; `fields` are its own, but for those that every manifest has."""
    models = list(fields["models"])
    against = {models[-1]: models[-2]} if len(models) > 1 else {}
    lines = lines_of(fields["metrics"], {name: name for name in models})
    parts = [f"# Results of {fields['run']}, {fields['stage']}\n"]
    if against:
        parts.append(f"{VERDICTS}\n")
        parts += list(_in_short(lines, models, against))
    parts += sections(lines, models, against)
    parts += gaps(fields["absent"], fields["cut"])
    parts += list(_contamination(fields["contamination"], fields["metrics"]))
    parts += list(_form(fields["smoke"]))
    return "\n".join(parts)


def _in_short(lines: Sequence[Line], models: Sequence[str], against: Mapping[str, str]) -> Iterator[str]:
    """What the last training changed, in the metrics worth a line: what was learned beside what was forgotten."""
    chosen = dict(headlines(line.name for line in lines))
    found = [line for line in lines if line.name in chosen]
    if found:
        yield "## In short\n"
        yield markdown(sorted(found, key=lambda line: list(chosen).index(line.name)), models, against)


def sections(lines: Sequence[Line], models: Sequence[str], against: Mapping[str, str]) -> Iterator[str]:
    """A heading and a table for each task, with its protocol below."""
    told = False
    for task, some in by_task(lines).items():
        yield f"## {task}\n"
        yield markdown(some, models, against, task)
        yield f"{protocol(some[0])}\n"
        if not told and any(measure_of(line.name).exponent for line in some):
            told = True
            yield f"{PAPERS}\n"


def protocol(line: Line) -> str:
    """How a task was scored, in a sentence."""
    found = line.any_entry.get("protocol", {})
    parts = [form.format(found[key]) for key, form in TOLD.items() if found.get(key)]
    more = [found[key] for key in ("prefix", "precision", "software") if key in found]
    return f"Protocol: {'; '.join([found.get('how', 'not told'), *parts, *map(str, more)])}."


def gaps(absent: Mapping[str, str], cut: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What was not measured, and rows that a context had no room for."""
    if absent:
        yield "## Absent\n"
        yield "".join(f"* {task}: {reason}\n" for task, reason in absent.items())
    found = [(model, name, one) for model, sets in cut.items() for name, one in sets.items()]
    if found:
        yield "## Cut to the context\n"
        yield "Rows longer than the context were scored without their beginning.\n"
        rows = [[name, model, f"{one['rows']:,}", f"{one['tokens']:,}"] for model, name, one in found]
        yield markdown_table(["set", "model", "rows", "tokens cut"], rows)


def _contamination(
    found: Mapping[str, Mapping[str, Mapping[str, Any]]], metrics: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """How many rows a training document shares words with, and what a model reaches on the others."""
    rows = [
        [task, model, f"{one['shared']:,} of {one['rows']:,} ({one['share']:.1%})", f"{one['too_short']:,}"]
        for model, tasks in found.items()
        for task, one in tasks.items()
    ]
    if not rows:
        return
    yield "## Contamination\n"
    yield "Rows that share 13 words in a row with a training document of the model's corpora.\n"
    yield markdown_table(["task", "model", "rows shared", "too short to tell"], rows)
    clean = [
        [name, model, f"{entry['value']:.4g}", f"{entry['clean']['value']:.4g}", f"{entry['clean']['n']:,}"]
        for name, values in metrics.items()
        for model, entry in values.items()
        if "clean" in entry
    ]
    if clean:
        yield markdown_table(["metric", "model", "all rows", "rows that are not shared", "n"], clean)


def _form(smoke: Mapping[str, Mapping[str, Any] | None]) -> Iterator[str]:
    """The form of what the models wrote, which says nothing of its quality."""
    there = {model: one for model, one in smoke.items() if one}
    if there:
        yield "## Form of what was written\n"
        rows = [["smoke", *(f"{one['value']:.4g}" for one in there.values()), next(iter(there.values()))["measures"]]]
        for name, meaning in FORM.items():
            values = (one["form"][name] for one in there.values())
            rows.append([name, *("" if value is None else f"{value:.4g}" for value in values), meaning])
        yield markdown_table(["figure", *there, "what it measures; form, not quality"], rows)
