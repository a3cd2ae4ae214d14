"""Turn metrics, generations and cards into plain HTML pages, which the report shows in place (it only offers other text
files for download)."""

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from abovo.provenance.files import atomic_path

CSS = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; margin: 2em auto; max-width: 60em; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { padding: .3em .8em; border-bottom: 1px solid #ddd; text-align: right; vertical-align: top; }
th:first-child, td:first-child { text-align: left; }
small { color: #666; }
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


def results(evaluations: Mapping[str, Mapping[str, Any]]) -> str:
    """A table of metrics with one column per model, and below it what each model wrote to the same prompts.

    `evaluations` maps the name of a column to an evaluation: {"metrics": {name: entry}, "generations": [...]}.
    """
    names = list(dict.fromkeys(name for evaluation in evaluations.values() for name in evaluation["metrics"]))
    head = "".join(f"<th>{html.escape(column)}</th>" for column in evaluations)
    rows = "".join(_row(name, list(evaluations.values())) for name in names)
    table = f"<table>\n<tr><th>metric</th>{head}<th>trivial baselines</th></tr>\n{rows}</table>"
    note = "<p><small>Below each value its 95 % interval and the number of items.</small></p>"
    texts = "".join(_generations(column, evaluation) for column, evaluation in evaluations.items())
    return f"<h1>Results</h1>\n{table}\n{note}\n{texts}"


def sources(losses: Mapping[str, Sequence[float | None]], phases: Sequence[str], vocabulary_size: int | None) -> str:
    """A table of the validation loss of each source before the first phase and after each.

    `losses` maps a source to its loss at the end of each phase, None where it was not validated. Before training a
    model gives all pieces about the same probability, ln V; the change is that of the last phase.
    """
    start = math.log(vocabulary_size) if vocabulary_size else None
    names = [f"after phase {name}" for name in phases] if len(phases) > 1 else ["after training"]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ["source", "before training", *names, "last change"])
    rows = "".join(_source_row(source, [start, *found]) for source, found in losses.items())
    note = "Nats per token. Before training: ln V, a model that gives every token the same probability."
    if len(phases) > 1:
        note += " After a phase is before the next one."
    title = "<h1>Validation loss by source</h1>"
    return f"{title}\n<table>\n<tr>{head}</tr>\n{rows}</table>\n<p><small>{note}</small></p>"


def _source_row(source: str, losses: Sequence[float | None]) -> str:
    *_, before, after = losses
    change = f"{after - before:+.3f}" if before is not None and after is not None else ""
    cells = "".join(f"<td>{'not measured' if loss is None else f'{loss:.3f}'}</td>" for loss in losses)
    return f"<tr><td>{html.escape(source)}</td>{cells}<td>{change}</td></tr>\n"


def _row(name: str, evaluations: Sequence[Mapping[str, Any]]) -> str:
    entries = [evaluation["metrics"].get(name) for evaluation in evaluations]
    cells = "".join(f"<td>{_value(entry) if entry else 'not measured'}</td>" for entry in entries)
    baseline = next(entry for entry in entries if entry).get("baseline", {})
    trivial = "<br>".join(f"{html.escape(what)} {value:.4g}" for what, value in baseline.items())
    return f"<tr><td>{html.escape(name)}</td>{cells}<td><small>{trivial}</small></td></tr>\n"


def _value(entry: Mapping[str, Any]) -> str:
    low, high = entry["interval"]
    unit = html.escape(entry.get("unit", "items"))
    return f"{entry['value']:.4g}<br><small>{low:.4g} to {high:.4g}, {entry['n']:,} {unit}</small>"


def _generations(column: str, evaluation: Mapping[str, Any]) -> str:
    parts = [f"<h2>What {html.escape(column)} writes</h2>\n"]
    for generation in evaluation.get("generations", ()):
        prompt, text = html.escape(generation["prompt"]), html.escape(generation["text"])
        parts.append(f"<pre><strong>{prompt}</strong>{text}</pre>\n")
    return "".join(parts) if len(parts) > 1 else ""
