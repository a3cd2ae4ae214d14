"""Turn what the manifests behind a model say into its card: Markdown under the metadata that the hub reads."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from abovo.settings.export import ExportJob


@dataclass(frozen=True)
class Origins:
    """Where a model comes from: the models before it in the order of training, itself last, and what they read."""

    models: Mapping[str, Mapping[str, Any]]
    corpora: Mapping[str, Mapping[str, Any]]
    instruction: Mapping[str, Mapping[str, Any]]
    results: Mapping[str, Any] | None
    operations: float | None


@dataclass(frozen=True)
class Kept:
    """What lies beside the card: files with their sha256, GGUF forms with their proofs, and why others are absent.

    `code` is the file of the model's classes, where these are not transformers' own.
    """

    files: Mapping[str, str]
    proofs: Mapping[str, Mapping[str, Any]]
    absent: Mapping[str, str]
    chat: bool
    code: str | None = None


def model_card(settings: ExportJob, origins: Origins, kept: Kept) -> str:
    """The card of a model. Values that nobody measured are not in it."""
    parts = [
        f"---\n{_metadata(settings, origins, kept)}---\n",
        f"# {settings.run}\n",
        f"{settings.description}\n" if settings.description else "",
        *_use(settings, kept),
        "## Intended use\n",
        f"{settings.intended_use}\n",
        *_training(settings, origins),
        *_data(origins),
        *_results(settings, origins),
        *_files(kept),
    ]
    return "\n".join(part for part in parts if part)


def _metadata(settings: ExportJob, origins: Origins, kept: Kept) -> str:
    """The YAML that the hub shows and searches."""
    from huggingface_hub import EvalResult, ModelCardData

    scored = [
        EvalResult(
            task_type="text-generation", dataset_type=name.rpartition(".")[0],
            dataset_name=f"{name.rpartition('.')[0]}, as scored by abovo",
            metric_type=name.rpartition(".")[2], metric_name=name.rpartition(".")[2], metric_value=entry["value"],
        )
        for name, entry in _scores(settings, origins)
    ]  # fmt: skip
    data = ModelCardData(
        language=list(settings.languages),
        license=settings.licence,
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["abovo", *(["conversational"] if kept.chat else [])],
        model_name=settings.run if scored else None,
        eval_results=scored or None,
    )
    return data.to_yaml() + "\n"


def _scores(settings: ExportJob, origins: Origins) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(metric, its entry) of the model itself."""
    for name, values in (origins.results or {}).get("metrics", {}).items():
        if settings.stage in values:
            yield name, values[settings.stage]


def _use(settings: ExportJob, kept: Kept) -> Iterator[str]:
    prompt = '[{"role": "user", "content": "Hello"}]' if kept.chat else '"Hello"'
    trust = ", trust_remote_code=True" if kept.code is not None else ""
    yield "## Use\n"
    yield (
        "```python\nfrom transformers import pipeline\n\n"
        f'generate = pipeline("text-generation", model="FOLDER_OR_REPOSITORY"{trust})\n'
        f"print(generate({prompt}, max_new_tokens=64))\n```\n"
    )
    if kept.code is not None:
        yield (
            f"transformers has no class for this model: `{kept.code}` lies beside the weights and needs transformers"
            " and torch alone. It is run only where you say `trust_remote_code=True`; read it before you do.\n"
        )


def _training(settings: ExportJob, origins: Origins) -> Iterator[str]:
    trained = {name: one for name, one in origins.models.items() if "training" in one.get("parameters", {})}
    if not trained:
        return
    yield "## Training\n"
    rows = []
    for name, one in trained.items():
        counts, recipe = one["counts"], one["parameters"]
        how, optimizer = recipe["training"], recipe["training"]["optimizer"]
        rows.append(
            [
                name, f"{counts['tokens']:,}", f"{counts['steps']:,}", f"{how['batch_tokens']:,}",
                f"{optimizer['kind']}, learning rate {optimizer['learning_rate']:g}", how["schedule"]["kind"],
                f"{one['validation_loss']:.3f}", str(recipe["seed"]),
            ]
        )  # fmt: skip
    head = ["stage", "tokens", "steps", "tokens per step", "optimizer", "schedule", "validation loss", "seed"]
    yield _table(head, rows)
    last = list(trained.values())[-1]
    shape = last["parameters"].get("model") or next(iter(trained.values()))["parameters"].get("model") or {}
    told = ", ".join(f"{name} {value}" for name, value in shape.items() if value not in (None, ""))
    yield f"{last['counts']['parameters']:,} parameters, context of {last['sequence_length']:,} tokens: {told}.\n"
    if origins.operations:
        yield f"Compute: {origins.operations:.3g} operations of pretraining (6 N per token, and attention).\n"


def _data(origins: Origins) -> Iterator[str]:
    if not origins.corpora and not origins.instruction:
        return
    yield "## Data\n"
    rows = [
        [corpus, source, f"{counts['documents']:,}", f"{counts.get('tokens', 0):,}", _licence(one, source)]
        for corpus, one in origins.corpora.items()
        for source, counts in one["counts"].get("sources", {}).items()
    ]
    if rows:
        yield _table(["corpus", "source", "documents", "tokens", "licence of the text"], rows)
    rows = [
        [name, f"{one['counts']['train']['conversations']:,}", _licences(one["licences"])]
        for name, one in origins.instruction.items()
    ]
    if rows:
        yield _table(["conversations", "number", "licence"], rows)


def _licence(corpus: Mapping[str, Any], source: str) -> str:
    return corpus["sources"].get(source, {}).get("licence", "not stated")


def _licences(found: Any) -> str:
    """The licences that a set states, of each of its sources or of the corpora behind them, each once."""
    return "; ".join(dict.fromkeys(_stated(found))) or "not stated"


def _stated(found: Any) -> Iterator[str]:
    if isinstance(found, str):
        yield found
    elif isinstance(found, Mapping):
        for one in [found["licence"]] if "licence" in found else found.values():
            yield from _stated(one)


def _results(settings: ExportJob, origins: Origins) -> Iterator[str]:
    rows = [
        [name, f"{one['value']:.4g}", _interval(one), f"{one['n']:,} {one.get('unit', 'items')}", _trivial(one)]
        for name, one in _scores(settings, origins)
    ]
    if rows:
        yield "## Results\n"
        yield _table(["metric", "value", "95 % interval", "n", "trivial baselines"], rows)


def _interval(entry: Mapping[str, Any]) -> str:
    return "{:.4g} to {:.4g}".format(*entry["interval"]) if entry.get("interval") else ""


def _trivial(entry: Mapping[str, Any]) -> str:
    return ", ".join(f"{what} {value:.4g}" for what, value in entry.get("baseline", {}).items())


def _files(kept: Kept) -> Iterator[str]:
    yield "## Files\n"
    yield _table(["file", "sha256"], [[name, f"`{value}`"] for name, value in kept.files.items()])
    if kept.proofs:
        yield (
            "GGUF files were compared with the model by llama.cpp on the processor: ids of texts are equal, and of"
            " greedy tokens this share is:\n"
        )
        rows = [
            [form, f"{one['texts']:,}", f"{one['equal']:,} of {one['tokens']:,}"] for form, one in kept.proofs.items()
        ]
        yield _table(["form", "texts with equal ids", "equal greedy tokens"], rows)
    if kept.absent:
        yield "".join(f"* {line}\n" for line in told_absent(kept.absent))


def told_absent(absent: Mapping[str, str]) -> list[str]:
    """A line for each reason why forms of GGUF are absent."""
    reasons = dict.fromkeys(absent.values())
    return [f"no GGUF as {', '.join(form for form in absent if absent[form] == why)}: {why}" for why in reasons]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
