"""Turn the finished artifacts of a run into the few lines that a person reads after it; reads small JSON files only."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from abovo.config.stages import STAGES
from abovo.provenance.files import read_json

# Metrics worth a line, by the end of their name, and what they are called here; those of the validation documents
# stand without the name of a task.
HEADLINES = {
    "bits_per_byte": "bits per byte",
    "token_perplexity": "token perplexity",
    "accuracy": "accuracy",
}
NEXT = (
    ("see the report", "open {report} in a browser"),
    ("look closer", "tensorboard --logdir results"),
    ("plan a larger run", "snakemake --cores 1 results/plan/tiny/plan.json"),
    ("train it on a GPU", "snakemake --profile gpu results/sft/tiny/results.json"),
)


def print_summary(run: str, results: Path, report: Path | None, console: Console | None = None) -> None:
    """Print what was made for `run` under the folder `results`, its losses and metrics, and what to type next."""
    console = console or Console()
    table = Table(title=f"abovo: {run}", title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for row in [*made(run, results), *measured(run, results)]:
        table.add_row(*row)
    if report is not None:
        table.add_row("report", str(report))
    console.print(table)
    following = Table(
        title="What to type next", title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0)
    )
    for what, command in NEXT:
        if report is not None or "{report}" not in command:
            following.add_row(what, command.format(report=report))
    console.print(following)


def made(run: str, results: Path) -> Iterator[tuple[str, str]]:
    """(what, in numbers) for each artifact that the run's base model came from, in the order of the work."""
    base = read_json(results / "pretrain" / run / "manifest.json")
    packed = [
        read_json(_place(path, results))
        for path in base["inputs"]
        if Path(path).parent.parent.parent.parent.name == "packed"
    ]
    for path in base["inputs"]:
        parts = Path(path).parts
        if "packed" in parts:
            corpus = parts[parts.index("packed") + 1]
            counts = read_json(results / "corpora" / corpus / "manifest.json")["counts"]
            sources = ", ".join(counts["sources"])
            yield (
                f"corpus {corpus}",
                f"{counts['documents']:,} documents, {_short(counts['bytes'])}B of text ({sources})",
            )
        if "tokenizers" in parts:
            tokenizer = read_json(_place(path, results))
            yield f"tokenizer {Path(path).parent.name}", f"{tokenizer['vocabulary_size']:,} pieces"
    rows = [item["counts"] for item in packed]
    tokens = {split: sum(count[split]["tokens"] for count in rows) for split in ("train", "val")}
    yield "packed", f"{_short(tokens['train'])} tokens to train on, {_short(tokens['val'])} to validate on"
    trained = base["counts"]
    yield (
        "base model",
        f"{_short(trained['parameters'])} parameters, {trained['steps']:,} steps, {_short(trained['tokens'])} tokens",
    )


def measured(run: str, results: Path) -> Iterator[tuple[str, str]]:
    """(what, before -> after) for the losses of each stage that the run went through, and for headline metrics, whose
    figures are those of the stages' models in their order."""
    base = read_json(results / "pretrain" / run / "manifest.json")
    tokenizer = next(read_json(_place(path, results)) for path in base["inputs"] if "tokenizers" in Path(path).parts)
    size = tokenizer["vocabulary_size"]
    for stage in STAGES.values():
        place = results / stage.name / run / "manifest.json"
        if place.is_file():
            model = read_json(place)
            first = f"{model['train_loss_first']:.2f}" if stage.after else f"ln {size} = {math.log(size):.2f}"
            yield f"{stage.training} loss", f"{first} -> {model['train_loss_last']:.2f} nats per {stage.scored}"
            if not stage.after:
                yield "validation loss", f"{model['validation_loss']:.2f} nats per {stage.scored}"
    evaluations = [results / stage / run / "evaluation.json" for stage in STAGES]
    found = [read_json(path)["metrics"] for path in evaluations if path.is_file()]
    for ending, label in HEADLINES.items():
        for name, entry in found[0].items() if found else ():
            task, _, kind = name.rpartition(".")
            if kind == ending:
                values = " -> ".join(f"{metrics[name]['value']:.3g}" for metrics in found if name in metrics)
                yield label if task == "validation" else f"{label} on {task}", f"{values}  ({_context(ending, entry)})"


def _context(kind: str, entry: Mapping[str, Any]) -> str:
    """The interval of the first figure, and the strongest trivial baseline."""
    low, high = entry["interval"]
    text = f"95 % {low:.3g} to {high:.3g}"
    strongest = max if kind == "accuracy" else min
    trivial = entry.get("baseline", {})
    if trivial:
        name = strongest(trivial, key=trivial.__getitem__)
        text += f"; {name}: {trivial[name]:.3g}"
    return text


def _place(path: str, results: Path) -> Path:
    """Where a manifest's input lies: its path from results/ on, under the folder that is asked about."""
    parts = Path(path).parts
    return results.joinpath(*parts[parts.index("results") + 1 :]) if "results" in parts else Path(path)


def _short(number: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:g}"
