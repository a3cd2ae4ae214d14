"""Turn the scores of models on the way into a learning curve: a figure, and a page of the same numbers."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullFormatter

from abovo.evaluation.measures import measure_of
from abovo.provenance.code import Script
from abovo.provenance.manifest import Manifest, read_manifest
from abovo.provenance.products import Job, Made, produce
from abovo.reporting import pages
from abovo.reporting.draw import SCHEMA
from abovo.reporting.figures import MARKERS, REFERENCE, SOURCES, save, style
from abovo.reporting.kept import absent, curves, table

Listed = Sequence[Mapping[str, Any]]


def draw_learning(listed: Path, title: str, output: Path, script: Script | Path) -> Manifest:
    """Draw the scores of checkpoints.json: learning_curve.svg and .html beside `output`, their manifest."""
    kept = read_manifest(listed, "abovo/checkpoints/")

    def make(folder: Path) -> Made:
        models = kept["checkpoints"]
        draw_curves(models, title, folder / "learning_curve.svg")
        pages.write_page(title, page(models, title), folder / "learning_curve.html")
        return Made({"models": len(models)})

    return produce(Job(output, SCHEMA, {"checkpoints": kept}, {"title": title}, script), make)


def draw_curves(models: Listed, title: str, path: Path) -> None:
    """Draw each metric worth a line over the words that a model had seen (tokens where words are not known), with its
    95 % interval: shares of items in one panel, for each other metric one of its own. Chance is dashed."""
    unit = "tokens" if any(one["words"] is None for one in models) else "words"
    panels: dict[str, list[tuple[str, str]]] = {}
    for name, label in curves(models):
        measure = measure_of(name)
        panels.setdefault("share of items" if measure.form == "proportion" else measure.label, []).append((name, label))
    with style():
        figure = Figure(figsize=(7.0, 1.2 + 2.6 * max(1, len(panels))))
        rows = figure.subplots(max(1, len(panels)), 1, squeeze=False, sharex=True)[:, 0]
        for axes, (what, metrics) in zip(rows, panels.items(), strict=False):
            _panel(axes, models, metrics, unit)
            axes.set(ylabel=what)
        rows[-1].set(xlabel=f"{unit} seen, repeated ones each time", xscale="log")
        rows[-1].xaxis.set_major_formatter(EngFormatter(sep=""))
        rows[-1].xaxis.set_minor_formatter(NullFormatter())
        rows[0].set_title(title, loc="left")
        save(figure, path)


def _panel(axes: Axes, models: Listed, metrics: Sequence[tuple[str, str]], unit: str) -> None:
    chances = set()
    for number, (name, label) in enumerate(metrics):
        found = [(one[unit], one["metrics"][name]) for one in models if name in one.get("metrics", {})]
        places, values = [place for place, _ in found], [entry["value"] for _, entry in found]
        color = SOURCES[number % len(SOURCES)]
        axes.plot(places, values, color=color, marker=MARKERS[number % len(MARKERS)], markersize=3.5, label=label)
        bars = [(place, *entry["interval"]) for place, entry in found if entry["interval"]]
        if bars:
            axes.vlines(*zip(*bars, strict=True), color=color, linewidth=1.0, alpha=0.6)
        chances |= {entry["baseline"]["chance"] for _, entry in found if "chance" in entry.get("baseline", {})}
    for chance in sorted(chances):
        axes.axhline(chance, color=REFERENCE, linestyle="--", linewidth=1.0)
    axes.legend(frameon=False)


def page(models: Listed, title: str) -> str:
    """The table of models and scores as HTML, with what is missing and why."""
    head, *rows = ([html.escape(cell) for cell in row] for row in table(models))
    lines = ["".join(f"<th>{cell}</th>" for cell in head)]
    lines += ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>\n" for line in lines)
    notes = "".join(
        f"<p>{html.escape(task)} is absent: {html.escape(why)}</p>\n" for task, why in absent(models).items()
    )
    note = "Each model is that of the first step by which so many words or tokens were seen, repeated text each time;"
    return (
        f"<h1>{html.escape(title)}</h1>\n<table>\n{body}</table>\n"
        f"<p><small>{note} in brackets 95 % intervals.</small></p>\n{notes}"
    )
