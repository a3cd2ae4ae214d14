"""Turn the finished artifacts of a run into the few lines that a person reads after it; reads small JSON files only."""

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from abovo.config.stages import STAGES, Stage
from abovo.config.targets import stages_of
from abovo.config.tuning import scored_of
from abovo.console.progress import several
from abovo.corpus import held_out
from abovo.corpus.folders import told
from abovo.evaluation.measures import MEASURES
from abovo.provenance.chain import Chain
from abovo.provenance.manifest import Manifest, read_manifest
from abovo.reporting.meanings import (
    WORSE_ON_PLAIN_TEXT,
    headlines,
    is_worse_on_plain_text,
    parts_of,
)
from abovo.reporting.repeated import drawn_in_words
from abovo.reporting.tables import verdict

# The layout of evaluations that is read, whose own module is too slow to be loaded for a summary.
EVALUATION = "abovo/evaluation/2"
# The run of the demonstration, after which a larger one is offered.
DEMONSTRATION = "nano"
LARGER = (
    ("plan a larger run", "snakemake --cores 1 results/plan/tiny/plan.json"),
    ("train it on a GPU", "snakemake --profile gpu results/sft/tiny/results.json"),
)
ASK = 'from transformers import pipeline; print(pipeline("text-generation", {model})({prompt}, max_new_tokens=64))'


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
    console.print("\n[bold]What the figures mean")
    for what, text in meant(run, results):
        console.print(f"  {what}: {text}", highlight=False)
    console.print("\n[bold]What to type next")
    for what, command in following(run, results, report):
        console.print(f"  {what}: {command}", soft_wrap=True, highlight=False, markup=False)


def following(run: str, results: Path, report: Path | None) -> Iterator[tuple[str, str]]:
    """(what for, command) of what a person may want after this run."""
    stage = finished(run, results)[-1]
    if report is not None:
        yield "see the report", f"open {report} in a browser"
    else:
        target = results / stage.name / run / "results.json"
        yield "make a report", shlex.join(["snakemake", "--report", f"{results}/report/{run}.html", str(target)])
    talk = [f"RUN={run}"] + ([] if results == Path("results") else [f"OPTIONS=--results {results}"])
    yield "talk with the model", shlex.join(["make", "chat", *talk])
    model = results / stage.name / run / "model"
    prompt = [{"role": "user", "content": "Hello"}] if is_chat(model) else "Hello"
    code = ASK.format(model=json.dumps(str(model)), prompt=json.dumps(prompt))
    yield "use the model", shlex.join(["python", "-c", code])
    yield "look closer", shlex.join(["tensorboard", "--logdir", str(results)])
    if run == DEMONSTRATION:
        yield from LARGER


def is_chat(model: Path) -> bool:
    """Whether a model in the Hugging Face layout is asked in a chat template."""
    return (model / "chat_template.jinja").is_file()


def finished(run: str, results: Path) -> list[Stage]:
    """The stages that the run went through. Raises AbovoError where there is none, naming the last that it has, and
    where the first is missing."""
    found = [stage for stage in STAGES.values() if (results / stage.name / run / "manifest.json").is_file()]
    if not found or all(stage.after for stage in found):
        read_manifest(results / stages_of(run)[-1 if not found else 0].name / run / "manifest.json")
    return found


def trained(run: str, results: Path) -> Iterator[tuple[Stage, Manifest]]:
    """Those of them that the run trained in, with the manifests of their models."""
    for stage in finished(run, results):
        if stage.trained:
            yield stage, read_manifest(results / stage.name / run / "manifest.json", "abovo/model/")


def made(run: str, results: Path) -> Iterator[tuple[str, str]]:
    """(what, in numbers) for each artifact that the run's first model came from, in the order of the work; of one that
    is given what it is."""
    for stage in finished(run, results):
        if not stage.trained:
            given = read_manifest(results / stage.name / run / "manifest.json")
            yield stage.model, f"{given['model_type']}, in {given['folder']}"
    chain, first = Chain(), next(trained(run, results), None)
    if first is None:
        return
    stage, base = first
    behind = chain.behind(base)
    packed = {role.partition("/")[2]: one for role, one in behind.items() if one["schema"].startswith("abovo/packed/")}
    for name, item in packed.items():
        corpus = chain.input(item, "corpus")
        counts = corpus["counts"]
        text = f"{_short(counts['bytes'])}B of text ({', '.join(counts['sources'])})"
        yield f"corpus {name}", f"{several(counts['documents'], 'document')}, {text}"
        for source, about in corpus.data.get("sources", {}).items():
            if about.get("unread"):
                yield "not read", f"of {source}: {told(about['unread'])}"
        for source, one in corpus.data.get("unvalidated", {}).items():
            yield "not validated", f"{source}: {held_out.told([one])}"
    yield "tokenizer", f"{behind['tokenizer']['vocabulary_size']:,} pieces"
    rows = [item["counts"] for item in packed.values()]
    tokens = {split: sum(count[split]["tokens"] for count in rows) for split in ("train", "val")}
    if rows:
        yield "packed", f"{_short(tokens['train'])} tokens to train on, {_short(tokens['val'])} to validate on"
    counts = base["counts"]
    steps = several(counts["steps"], "step")
    yield stage.model, f"{_short(counts['parameters'])} parameters, {steps}, {_short(counts['tokens'])} tokens"
    yield "drawn", drawn_in_words(base.data)


def measured(run: str, results: Path) -> Iterator[tuple[str, str]]:
    """(what, before -> after) for the losses of each stage that the run went through, and for headline metrics, whose
    figures are those of the stages' models in their order. Raises AbovoError where one of the files was altered."""
    for stage, model in trained(run, results):
        scored = scored_of(stage.scored, model.data.get("validation_losses", ()))
        for what, kind in (("loss", "train_loss"), ("validation loss", "validation_loss")):
            first, last = model[f"{kind}_first"], model["train_loss_last" if kind == "train_loss" else kind]
            yield f"{stage.training}, {what}", f"{first:.2f} -> {last:.2f} nats per {scored}"
        apart = model.data.get("validation_losses", {})
        if stage.after is not None and len(apart) > 1:
            told_apart = (f"{name} {loss['first']:.2f} -> {loss['last']:.2f}" for name, loss in apart.items())
            yield f"{stage.training}, by set", ", ".join(told_apart)
    found = [evaluation["metrics"] for evaluation in evaluations(run, results)]
    told = changes(run, results)
    for name, label in headlines(found[0]) if found else ():
        values = " -> ".join(_with_interval(metrics[name]) for metrics in found if name in metrics)
        judged = f": {verdict(told[name])}" if name in told else ""
        yield label, f"{values}{judged}{_trivial(parts_of(name)[1], found[0][name])}"
        if parts_of(name)[1] == "bits_per_byte" and is_worse_on_plain_text({name: told[name]} if name in told else {}):
            yield "", WORSE_ON_PLAIN_TEXT


def changes(run: str, results: Path) -> dict[str, Mapping[str, Any]]:
    """Metric -> the difference that the last stage made, as results.json tells it; nothing where there is none yet."""
    path = results / finished(run, results)[-1].name / run / "results.json"
    metrics = read_manifest(path, "abovo/results/")["metrics"] if path.is_file() else {}
    return {name: values["difference"] for name, values in metrics.items() if "difference" in values}


def evaluations(run: str, results: Path) -> list[Manifest]:
    """The evaluations of the run's models, in the order of the stages, found to be those of its results.json."""
    for stage in finished(run, results):
        path = results / stage.name / run / "results.json"
        if path.is_file():
            Chain().behind(read_manifest(path, "abovo/results/"))
    paths = [results / stage / run / "evaluation.json" for stage in STAGES]
    return [read_manifest(path, EVALUATION) for path in paths if path.is_file()]


def meant(run: str, results: Path) -> Iterator[tuple[str, str]]:
    """(metric, meaning) of the kinds of figures that `measured` tells."""
    found = evaluations(run, results)
    kinds = {parts_of(name)[1] for name, _ in headlines(found[0]["metrics"])} if found else set()
    yield "validation loss", "on held-out packed rows, before and after training"
    yield from ((one.label, one.meaning) for kind, one in MEASURES.items() if kind in kinds)


def _with_interval(entry: Mapping[str, Any]) -> str:
    if entry["interval"] is None:
        return f"{entry['value']:.3g}"
    low, high = entry["interval"]
    return f"{entry['value']:.3g} (95 % {low:.3g} to {high:.3g})"


def _trivial(kind: str, entry: Mapping[str, Any]) -> str:
    """The strongest trivial baseline."""
    found = entry.get("baseline", {})
    if not found:
        return ""
    name = (max if MEASURES[kind].better == "higher" else min)(found, key=found.__getitem__)
    return f"; {name}: {found[name]:.4g}"


def _short(number: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:g}"
