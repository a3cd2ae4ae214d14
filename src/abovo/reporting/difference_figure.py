"""Turn differences between models into a figure: a mark for each, with its 95 % interval, filled where it is clear."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from abovo.evaluation.comparison import CENTRED
from abovo.evaluation.measures import MEASURES, Measure
from abovo.evaluation.paired import NOISE
from abovo.reporting.figures import MARKERS, REFERENCE, SOURCES, save, style
from abovo.reporting.tables import Line, label

SHARES, SUMS = "difference (percentage points)", "difference (% of the first model's value)"


def draw_differences(lines: Sequence[Line], against: Mapping[str, str], title: str, path: Path) -> None:
    """Draw what changed to each model from the one that it is held `against`: shares in percentage points, bits per
    byte and perplexities in percent of the value that they are held against."""
    panels = {
        what: [line for line in lines if (_measure(line).form == "proportion") == (what == SHARES)]
        for what in (SHARES, SUMS)
    }
    panels = {what: some for what, some in panels.items() if any(line.changes for line in some)}
    heights = [1 + len(some) * (0.25 + 0.2 * len(against)) for some in panels.values()]
    with style():
        figure = Figure(figsize=(8.0, 1.0 + 0.75 * sum(heights)))
        rows = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
        for axes, (what, some) in zip(rows[:, 0], panels.items(), strict=True):
            _panel(axes, some, against, what)
        rows[0, 0].legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        figure.suptitle(f"{title}; filled: beyond noise", x=0.01, ha="left", fontsize=11)
        save(figure, path)


def _panel(axes: Axes, lines: Sequence[Line], against: Mapping[str, str], what: str) -> None:
    axes.axvline(0, color=REFERENCE, linewidth=1.0)
    step = 0.7 / len(against)
    for number, (model, other) in enumerate(against.items()):
        color, marker = SOURCES[number % len(SOURCES)], MARKERS[number % len(MARKERS)]
        axes.plot([], [], color=color, marker=marker, linestyle="", label=model)
        for place, line in enumerate(lines):
            change = line.changes.get(model)
            if change is None:
                continue
            scale = 100 if what == SHARES else 100 / abs(line.entries[other]["value"])
            height = place + step * (number - (len(against) - 1) / 2)
            if change["interval"]:
                axes.plot([end * scale for end in change["interval"]], [height, height], color=color, linewidth=1.4)
            face = "white" if change["verdict"] == NOISE else color
            axes.plot(change["value"] * scale, height, marker=marker, color=color, markerfacecolor=face, linestyle="")
    axes.set(xlabel=what, ylim=(len(lines) - 0.4, -0.6))
    axes.set_yticks(range(len(lines)), [f"{label(line.name)}\n{way}" for line, way in _ways(lines)], fontsize=9)
    axes.grid(visible=False, axis="y")


def _ways(lines: Sequence[Line]) -> Iterator[tuple[Line, str]]:
    """Each line, and which way is better."""
    for line in lines:
        better = _measure(line).better
        yield line, f"({better} is better)" if better else ""


def _measure(line: Line) -> Measure:
    kind: Any = MEASURES.get(line.name.rpartition(".")[2])
    return kind or CENTRED
