"""Turn the finished artifacts of a run into the few lines that a person reads after it; reads small JSON files only."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from abovo.config.stages import STAGES
from abovo.provenance.chain import Chain
from abovo.provenance.files import read_json
from abovo.provenance.manifest import read_manifest

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
    base, chain = read_manifest(results / "pretrain" / run / "manifest.json"), Chain()
    behind = chain.behind(base)
    packed = {role.partition("/")[2]: one for role, one in behind.items() if one["schema"].startswith("abovo/packed/")}
    for name, item in packed.items():
        counts = chain.input(item, "corpus")["counts"]
        text = f"{_short(counts['bytes'])}B of text ({', '.join(counts['sources'])})"
        yield f"corpus {name}", f"{counts['documents']:,} documents, {text}"
    yield "tokenizer", f"{behind['tokenizer']['vocabulary_size']:,} pieces"
    rows = [item["counts"] for item in packed.values()]
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
    base = read_manifest(results / "pretrain" / run / "manifest.json")
    size = Chain().input(base, "tokenizer")["vocabulary_size"]
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


def _short(number: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:g}"
