"""Turn metrics, generations and cards into plain HTML pages, which the report shows in place (it only offers other text
files for download)."""

import html
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from abovo.evaluation.smoke import FORM, SMOKE
from abovo.provenance.files import atomic_path
from abovo.reporting.meanings import WORSE_ON_PLAIN_TEXT, headlines, is_of_set, is_worse_on_plain_text, meanings
from abovo.reporting.tables import verdict
from abovo.reporting.words import VERDICTS

Changes = Mapping[str, Mapping[str, Any]]
CSS = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; margin: 2em auto; max-width: 60em; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { padding: .3em .8em; border-bottom: 1px solid #ddd; text-align: right; vertical-align: top; }
th:first-child, td:first-child { text-align: left; }
small { color: #666; }
.words td { text-align: left; }
pre { white-space: pre-wrap; background: #f6f6f6; padding: .8em; }
"""


def write_page(title: str, body: str, path: Path) -> None:
    """Write one self-contained page around `body`, which is HTML; `title` is text."""
    title = html.escape(title)
    page = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f"<style>{CSS}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def card(text: str) -> str:
    """A card in Markdown as HTML; HTML inside it (a piece of a vocabulary, say) stays visible text."""
    from markdown import Markdown

    converter = Markdown(extensions=["tables", "fenced_code"])
    converter.preprocessors.deregister("html_block")
    converter.inlinePatterns.deregister("html")
    return converter.convert(text)


def results(evaluations: Mapping[str, Mapping[str, Any]], changes: Changes) -> str:
    """A table of metrics with one column per model, and below it what each model wrote to the same prompts.

    `evaluations` maps the name of a column to an evaluation: {"metrics": {name: entry}, "generations": [...]};
    `changes` are the differences of the last one from the one before, by metric.
    """
    names = _names(evaluations)
    table = _table({name: name for name in names if not is_of_set(name, names)}, evaluations, changes)
    of_sets = {name: name for name in names if is_of_set(name, names)}
    sets = f"<h2>Sets of tasks</h2>\n{_table(of_sets, evaluations, changes)}\n" if of_sets else ""
    pairs = ((html.escape(what), html.escape(text)) for what, text in meanings(names))
    rows = "".join(f"<tr><td>{what}</td><td>{text}</td></tr>\n" for what, text in pairs)
    explained = f'<h2>What the figures mean</h2>\n<table class="words">\n{rows}</table>'
    left_out = "".join(
        f"<p>Not evaluated of corpus {html.escape(corpus)}: {html.escape(_told(sources))}.</p>\n"
        for corpus, sources in _left_out(evaluations).items()
    )
    gone = "".join(f"<p>{html.escape(text)}</p>\n" for text in _gaps(evaluations))
    texts = "".join(_generations(column, evaluation) for column, evaluation in evaluations.items())
    return f"<h1>Results</h1>\n{table}\n{gone}{left_out}{explained}\n{texts}{_form(evaluations)}{sets}"


def _gaps(evaluations: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What is absent, and rows that were cut, each said once."""
    absent = {task: why for one in evaluations.values() for task, why in one.get("absent", {}).items()}
    yield from (f"Absent: {task} ({why})." for task, why in absent.items())
    cut = {name: found for one in evaluations.values() for name, found in one.get("cut", {}).items()}
    yield from (
        f"Cut on the left to the context: {found['rows']:,} rows of {name}, by {found['tokens']:,} tokens."
        for name, found in cut.items()
    )


def _form(evaluations: Mapping[str, Mapping[str, Any]]) -> str:
    """A table of the form of what the models wrote."""
    there = {column: one["smoke"] for column, one in evaluations.items() if one.get("smoke")}
    if not there:
        return ""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in there)
    figures = {"smoke": [one["value"] for one in there.values()]}
    figures |= {name: [one["form"][name] for one in there.values()] for name in FORM}
    rows = ""
    for name, values in figures.items():
        cells = "".join(f"<td>{'' if value is None else f'{value:.3g}'}</td>" for value in values)
        meaning = html.escape(FORM.get(name, SMOKE))
        rows += f"<tr><td>{name}<br><small>{meaning}</small></td>{cells}</tr>\n"
    return (
        f"<h2>Form of what they write, not its quality</h2>\n<table>\n<tr><th>figure</th>{head}</tr>\n{rows}</table>\n"
    )


def _left_out(evaluations: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, str]]:
    return {corpus: found for one in evaluations.values() for corpus, found in one.get("not_evaluated", {}).items()}


def _told(sources: Mapping[str, str]) -> str:
    return ", ".join(f"{source} ({reason})" for source, reason in sources.items())


def headline(evaluations: Mapping[str, Mapping[str, Any]], changes: Changes) -> str:
    """The same table with the metrics worth a line alone, for the opening page of a report."""
    return f"{_table(dict(headlines(_names(evaluations))), evaluations, changes)}\n"


def _names(evaluations: Mapping[str, Mapping[str, Any]]) -> dict[str, None]:
    return dict.fromkeys(name for evaluation in evaluations.values() for name in evaluation["metrics"])


def _table(labels: Mapping[str, str], evaluations: Mapping[str, Mapping[str, Any]], changes: Changes) -> str:
    """A row for each metric under its label, a column for each model, what the last training changed, and what the
    reader should know of them."""
    columns = [*evaluations, *(["difference"] if changes else [])]
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    cells = {name: f"<td>{_change(changes[name])}</td>" if name in changes else "<td></td>" for name in labels}
    rows = "".join(
        _row(name, label, list(evaluations.values()), cells[name] if changes else "") for name, label in labels.items()
    )
    note = "Below each value its 95 % interval and the number of items."
    if changes:
        verdicts = html.escape(VERDICTS.replace("`", ""))
        note += f" Differences are those of the last column from the one before. {verdicts}"
    if is_worse_on_plain_text(changes):
        note += f" {WORSE_ON_PLAIN_TEXT}"
    table = f"<table>\n<tr><th>metric</th>{head}<th>trivial baselines</th></tr>\n{rows}</table>"
    return f"{table}\n<p><small>{note}</small></p>"


def _change(change: Mapping[str, Any]) -> str:
    between = "{:+.4g} to {:+.4g}".format(*change["interval"]) if change["interval"] else ""
    return f"{change['value']:+.4g}, {html.escape(verdict(change))}<br><small>{between}</small>"


def sources(
    losses: Mapping[str, Sequence[float | None]], phases: Sequence[str], scored: str = "token",
    unvalidated: Sequence[str] = (), drawn: str = "",
) -> str:  # fmt: skip
    """A table of the validation loss of each source before the first phase and after each.

    `losses` maps a source to its loss at step 0 and at the end of each phase, None where it was not validated; the
    change is that of the last phase. `unvalidated` are sources of which nothing was held out, `drawn`
    tells how often each set was gone through.
    """
    names = [f"after phase {name}" for name in phases] if len(phases) > 1 else ["after training"]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ["source", "before training", *names, "last change"])
    rows = "".join(_source_row(source, found) for source, found in losses.items())
    note = f"Nats per {scored}, on held-out rows. Before training: step 0, the model that training starts from."
    if len(phases) > 1:
        note += " After a phase is before the next one."
    if unvalidated:
        note += f" Never measured, since none of their documents was held out: {html.escape(', '.join(unvalidated))}."
    if drawn:
        note += f" Drawn in training: {html.escape(drawn)}."
    title = "<h1>Validation loss by source</h1>"
    return f"{title}\n<table>\n<tr>{head}</tr>\n{rows}</table>\n<p><small>{note}</small></p>"


def _source_row(source: str, losses: Sequence[float | None]) -> str:
    *_, before, after = losses
    change = f"{after - before:+.3f}" if before is not None and after is not None else ""
    cells = "".join(f"<td>{'not measured' if loss is None else f'{loss:.3f}'}</td>" for loss in losses)
    return f"<tr><td>{html.escape(source)}</td>{cells}<td>{change}</td></tr>\n"


def _row(name: str, label: str, evaluations: Sequence[Mapping[str, Any]], change: str) -> str:
    entries = [evaluation["metrics"].get(name) for evaluation in evaluations]
    cells = "".join(f"<td>{_value(entry) if entry else 'not measured'}</td>" for entry in entries)
    baseline = next(entry for entry in entries if entry).get("baseline", {})
    trivial = "<br>".join(f"{html.escape(what)} {value:.4g}" for what, value in baseline.items())
    return f"<tr><td>{html.escape(label)}</td>{cells}{change}<td><small>{trivial}</small></td></tr>\n"


def _value(entry: Mapping[str, Any]) -> str:
    unit = html.escape(entry.get("unit", "items"))
    between = "{:.4g} to {:.4g}, ".format(*entry["interval"]) if entry["interval"] else ""
    return f"{entry['value']:.4g}<br><small>{between}{entry['n']:,} {unit}</small>"


def _generations(column: str, evaluation: Mapping[str, Any]) -> str:
    parts = [f"<h2>What {html.escape(column)} writes</h2>\n"]
    for generation in evaluation.get("generations", ()):
        prompt, text = html.escape(generation["prompt"]), html.escape(generation["text"])
        parts.append(f"<pre><strong>{prompt}</strong>{text}</pre>\n")
    return "".join(parts) if len(parts) > 1 else ""
