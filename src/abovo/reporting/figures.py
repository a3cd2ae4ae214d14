"""Turn metrics and manifests into SVG figures, byte for byte the same from the same numbers."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib import rc_context, rcdefaults, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from abovo.errors import AbovoError
from abovo.provenance.files import atomic_path
from abovo.reporting.loss_by_source import losses_by_source

# Element names come from a fixed salt and no date is written, so equal figures are equal files; text stays text.
STYLE: Any = {
    "svg.hashsalt": "abovo",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "figure.constrained_layout.use": True,
}
TRAINING, VALIDATION, REFERENCE = "#3b6ea5", "#c4572d", "#777777"
# Colours that remain apart for colour-blind readers (Okabe and Ito 2008).
SOURCES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#444444")
MARKERS = "osD^v"
OUTCOMES = {"kept": "#0072b2", "over budget": "#56b4e9", "duplicates": "#e69f00", "rejected": "#999999"}


def draw_loss(
    metrics: Sequence[Mapping[str, Any]],
    vocabulary_size: int | None,
    phases: Mapping[str, int],
    title: str,
    path: Path,
    scored: str = "token",
) -> None:
    """Draw training and validation loss (nats per token, or per what is `scored`) over tokens, from step 0 on.

    `metrics` are the rows of metrics.jsonl. `vocabulary_size` adds the loss of a guess that gives every token the same
    probability, ln V, to compare with.
    `phases` maps the name of each phase to its last step; the borders between them are drawn.
    Raises AbovoError where no row carries a loss.
    """
    training = [(row["tokens"], row["loss"]) for row in metrics if row.get("loss") is not None]
    validation = _validation(metrics)
    if not training:
        raise AbovoError("no row carries a loss", "metrics", "train for at least one step")
    with style():
        figure = Figure(figsize=(7.0, 3.8))
        axes = figure.subplots()
        axes.plot(*zip(*training, strict=True), color=TRAINING, linewidth=1.0, label="training")
        for number, line in enumerate(validation):
            label = None if number else "validation"
            axes.plot(*zip(*line, strict=True), color=VALIDATION, marker="o", markersize=3.5, label=label)
        if validation:
            last = validation[-1][-1]
            axes.annotate(f"{last[1]:.3f}", last, textcoords="offset points", xytext=(4, 6), color=VALIDATION)
        if vocabulary_size:
            start = math.log(vocabulary_size)
            axes.axhline(
                start, color=REFERENCE, linestyle="--", linewidth=1.0,
                label=f"uniform guess: ln {vocabulary_size} = {start:.2f}",
            )  # fmt: skip
        _mark_phases(axes, metrics, phases)
        axes.set(xlabel="tokens", ylabel=f"loss (nats per {scored})")
        axes.set_title(title, loc="left")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.legend(frameon=False)
        save(figure, path)


def _validation(metrics: Sequence[Mapping[str, Any]]) -> list[list[tuple[int, float]]]:
    """(tokens, validation loss), in a line for each phase: the second row of a step is the next phase's first, over the
    sources of both."""
    lines: list[list[tuple[int, float]]] = []
    for row in metrics:
        if row.get("validation_loss") is not None:
            if not lines or lines[-1][-1][0] == row["tokens"]:
                lines.append([])
            lines[-1].append((row["tokens"], row["validation_loss"]))
    return lines


def draw_sources(
    metrics: Sequence[Mapping[str, Any]], phases: Mapping[str, int], title: str, path: Path, scored: str = "token"
) -> None:
    """Draw the validation loss of each source over tokens; `phases` and `scored` as for `draw_loss`."""
    with style():
        figure = Figure(figsize=(7.0, 3.8))
        axes = figure.subplots()
        marks = itertools.product(MARKERS, SOURCES)
        for (source, steps), (marker, color) in zip(losses_by_source(metrics).items(), marks, strict=False):
            points = zip(*steps.values(), strict=True)
            axes.plot(*points, color=color, marker=marker, markersize=3.5, linewidth=1.2, label=source)
        _mark_phases(axes, metrics, phases)
        axes.set(xlabel="tokens", ylabel=f"validation loss (nats per {scored})")
        axes.set_title(title, loc="left")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.margins(y=0.15)
        axes.legend(frameon=False)
        save(figure, path)


def _mark_phases(axes: Axes, metrics: Sequence[Mapping[str, Any]], phases: Mapping[str, int]) -> None:
    """A vertical line where a phase ends and the next begins, labelled with both names."""
    names = list(phases)
    for name, following in itertools.pairwise(names):
        reached = [row["tokens"] for row in metrics if row["step"] <= phases[name]]
        if reached:
            axes.axvline(reached[-1], color=REFERENCE, linestyle=":", linewidth=1.0)
            axes.annotate(
                f"{name} | {following}",
                (reached[-1], 0.97),
                xycoords=("data", "axes fraction"),
                ha="center",
                va="top",
                backgroundcolor="white",
                color=REFERENCE,
            )


def draw_composition(
    sources: Mapping[str, Mapping[str, Any]], title: str, path: Path, bytes_per_token: float | None = None
) -> None:
    """Draw, per source of a corpus, its tokens and what became of the documents that were read.

    Tokens that no tokenizer counted are reckoned with an assumed `bytes_per_token`, and the figure says so.

    `sources` maps a source to {tokens, documents, over_budget, duplicates, rejected}; tokens and documents count what
    was kept, `rejected` is a number or numbers by reason.
    """
    if not sources:
        raise AbovoError("no source is listed", title, "make the corpus again")
    names = list(sources)[::-1]
    with style():
        figure = Figure(figsize=(8.0, 1.2 + 0.5 * len(names)))
        left, right = figure.subplots(1, 2, sharey=True)
        tokens = [sources[name]["tokens"] for name in names]
        bars = left.barh(names, tokens, color=OUTCOMES["kept"], height=0.6)
        total = max(1, sum(tokens))
        left.bar_label(bars, [f" {count / total:.0%}" for count in tokens])
        counted = f"tokens, assumed to be {bytes_per_token:g} bytes each" if bytes_per_token else "tokens"
        left.set(title="tokens kept", xlabel=counted)
        left.margins(x=0.15)
        start = [0.0] * len(names)
        for outcome, color in OUTCOMES.items():
            shares = [_outcomes(sources[name])[outcome] for name in names]
            right.barh(names, shares, left=start, color=color, height=0.6, label=outcome)
            start = [before + share for before, share in zip(start, shares, strict=True)]
        right.set(title="documents read", xlabel="share of documents", xlim=(0, 1))
        figure.legend(frameon=False, ncols=4, loc="outside lower right")
        for axes in (left, right):
            axes.grid(visible=False, axis="y")
        left.xaxis.set_major_formatter(EngFormatter(sep=""))
        figure.suptitle(title)
        save(figure, path)


def _outcomes(source: Mapping[str, Any]) -> dict[str, float]:
    """Shares of the documents that were read, by what became of them."""
    rejected = source.get("rejected", 0)
    counts = {
        "kept": source["documents"],
        "over budget": source.get("over_budget", 0),
        "duplicates": source.get("duplicates", 0),
        "rejected": sum(rejected.values()) if isinstance(rejected, Mapping) else rejected,
    }
    total = max(1, sum(counts.values()))
    return {name: count / total for name, count in counts.items()}


@contextmanager
def style() -> Iterator[None]:
    """Our style over matplotlib's own defaults; a user's matplotlibrc must not change a byte."""
    with rc_context():
        rcdefaults()
        rcParams.update(STYLE)
        yield


def save(figure: Figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": "abovo"})
