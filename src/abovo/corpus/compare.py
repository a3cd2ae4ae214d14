"""Turn the plan of a corpus and what came of it into actual over planned, figure by figure."""

from collections.abc import Mapping, Sequence
from typing import Any

from abovo.corpus.choose import Share
from abovo.provenance.manifest import Manifest

# Figure of the plan -> how the counts of the corpus and of its sources have it.
FIGURES = {
    "documents": ("documents",),
    "tokens": ("tokens",),
    "bytes": ("bytes",),
    "documents_to_read": ("read",),
    "duplicates": ("duplicates", "near_duplicates"),
}


def compared(plan: Manifest, totals: Mapping[str, Any], shards: int, shard_bytes: int) -> dict[str, Any]:
    """`planned` and `actual_over_planned`, for the corpus and each source; `totals` holds its counts with `sources`.

    A ratio is None where the plan has no figure or 0. For figures with an interval `within_interval` says whether the
    actual one lies in it.
    """
    planned: dict[str, Any] = {"sources": {}}
    ratios: dict[str, Any] = {"sources": {}}
    sources: Mapping[str, Mapping[str, Any]] = totals["sources"]
    for name, counts in sources.items():
        own = plan["sources"][name]
        figures = {key: _mean(own[key]) for key in FIGURES}
        intervals = {key: found for key in FIGURES if (found := _interval(own[key])) is not None}
        planned["sources"][name], ratios["sources"][name] = _figures(figures, intervals, counts)
    read = sum(counts["read"] for counts in sources.values())
    figures = {key: plan["counts"][key] for key in FIGURES}
    intervals = {
        key: plan["counts"][f"{key}_interval"] for key in FIGURES if plan["counts"].get(f"{key}_interval") is not None
    }
    whole, ratio = _figures(figures, intervals, {**totals, "read": read})
    made = {"shards": shards, "disk_bytes": shard_bytes}
    expected = {"shards": plan["counts"].get("shards"), "disk_bytes": plan["counts"]["disk_bytes"]["shards"]}
    return {
        "planned": {**whole, **expected, **planned},
        "actual_over_planned": {**ratio, **{key: _ratio(made[key], expected[key]) for key in made}, **ratios},
    }


def _figures(
    figures: Mapping[str, Any], intervals: Mapping[str, Sequence[float]], counts: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    actual = {key: sum(counts[name] for name in names) for key, names in FIGURES.items()}
    ratios: dict[str, Any] = {key: _ratio(actual[key], value) for key, value in figures.items()}
    ratios["within_interval"] = {key: low <= actual[key] <= high for key, (low, high) in intervals.items()}
    return {**figures, "intervals": dict(intervals)}, ratios


def _mean(figure: Any) -> Any:
    """A plain figure, or the mean of one with an interval, or of the documents that one speaks of."""
    figure = figure.get("documents", figure) if isinstance(figure, Mapping) else figure
    return figure["mean"] if isinstance(figure, Mapping) else figure


def _interval(figure: Any) -> Any:
    figure = figure.get("documents", figure) if isinstance(figure, Mapping) else None
    return figure["interval"] if figure and None not in figure["interval"] else None


def _ratio(actual: float, planned: float | None) -> float | None:
    return round(actual / planned, 4) if planned else None


def reading_time(plan: Manifest, shares: Sequence[Share]) -> dict[str, Any]:
    """CPU-seconds that reading the sources was planned to take and took, from the records beside the parts."""
    expected = plan.data.get("measured", {}).get("sources", {})
    sources = {}
    for share in shares:
        # What is read on while assembling has no record of its own.
        took = [part.manifest.record["cpu_seconds"] for part in share.parts if part.manifest.record]
        actual = round(sum(took), 3) if took else None
        sources[share.name] = {"planned": expected.get(share.name, {}).get("cpu_seconds"), "actual": actual}
    planned, actual = (_sum([one[key] for one in sources.values()]) for key in ("planned", "actual"))
    ratio = None if actual is None else _ratio(actual, planned)
    return {"planned": planned, "actual": actual, "actual_over_planned": ratio, "sources": sources}


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known), 3) if len(known) == len(values) else None
