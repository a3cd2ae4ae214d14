"""Compare ways to continue nano's pretraining on French text, seed by seed: adapters, 4-bit weights, all weights.

python benchmarks/continued.py FOLDER                                  # every way below, three seeds
python benchmarks/continued.py FOLDER --only "LoRA, r = 16" --seeds 1

FOLDER holds French text (.txt, .jsonl.zst, .parquet), a work a document. Works are held out whole; a twentieth of them
is measured. Needs the base model: snakemake --cores 2 results/pretrain/nano/manifest.json, and for "4-bit" the package
bitsandbytes. A training that is finished is kept in --work, so that a benchmark that was stopped goes on.
"""

import argparse
import importlib.util
import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fine_tuning import told, trained
from trained import ROOT, SCRIPT

RATE = "training.optimizer.learning_rate"
# What is laid over config/cpt/quebec-nano.yaml. The rate of all weights is a quarter of the adapters'.
WAYS: dict[str, dict[str, Any]] = {
    "LoRA, r = 8": {"lora.rank": 8, "lora.alpha": 16},
    "LoRA, r = 16": {"lora.rank": 16, "lora.alpha": 32},
    "LoRA, r = 64": {"lora.rank": 64, "lora.alpha": 128},
    "LoRA, r = 16, 4-bit (NF4)": {"lora.rank": 16, "lora.alpha": 32, "quantization": "nf4"},
    "all weights": {"method": "full", RATE: 0.001},
}
# Of a work that is held out (fraction of the works), and the size of its parts and of what is measured (bytes)
HELD_OUT, PART_BYTES, MEASURED_BYTES = 0.05, 8_000, 120_000


def settings_of(way: dict[str, Any], seed: int, tokens: int) -> dict[str, Any]:
    """What the job of continued pretraining is told."""
    from abovo.config.jobs import job_settings
    from abovo.config.runs import Configuration

    values = {f"quebec-nano.cpt.{key}": value for key, value in ({"tokens": tokens} | way).items()}
    words = ",".join(f"{key}={value}" for key, value in (values | {"quebec-nano.seed": seed}).items())
    told = job_settings(Configuration(ROOT / "config", words), "cpt", {"run": "quebec-nano"})
    told["threads"] = 1
    told["training"]["tensorboard"] = False
    return told


def parts(text: str) -> Iterator[str]:
    """A work in parts that end with a paragraph."""
    part: list[str] = []
    for paragraph in text.split("\n"):
        part.append(paragraph)
        if sum(map(len, part)) >= PART_BYTES:
            yield "\n".join(part)
            part = []
    if any(part):
        yield "\n".join(part)


def corpora(folder: Path, work: Path) -> dict[str, Any]:
    """A corpus of the works that are learned, and one of those that are held out, which is validation as a whole."""
    from small_world import make_corpus
    from texts import texts

    from abovo.corpus.clean import clean
    from abovo.corpus.shards import Document
    from abovo.corpus.split import document_hash, is_validation

    made: dict[str, list[Document]] = {"french": [], "held-out": []}
    for number, text in enumerate(texts(folder)):
        cleaned = clean(text, "prose")[0]
        side = "held-out" if is_validation(document_hash(cleaned), HELD_OUT) else "french"
        for place, part in enumerate(parts(cleaned)):
            made[side].append(Document(f"{number}#{place}", part, "text", len(part.encode()) // 3))
    shares = {"french": 0.01, "held-out": 1.0}
    return {
        name: make_corpus(work, items, shares[name], name, ["text"], {"folder": str(folder)})
        for name, items in made.items()
    }


def prepared(folder: Path, results: Path, work: Path) -> dict[str, Any]:
    """The base model, what is learned and replayed, and the texts of both languages that are measured."""
    from abovo.config.runs import Configuration
    from abovo.evaluation.evaluation_sets import prepare_evaluation
    from abovo.packing.pack import pack_corpus
    from abovo.provenance.manifest import read_manifest
    from abovo.settings.evaluation import SetsJob
    from abovo.tokenizing.load import load_tokenizer

    tokenizer, found = results / "tokenizers/nano-4k/tokenizer_config.json", corpora(folder, work)
    length = Configuration(ROOT / "config").run("quebec-nano").sequence_length
    packed = work / f"packed/french/nano-4k/{length}/manifest.json"
    pack_corpus(found["french"], load_tokenizer(tokenizer), length, packed, SCRIPT)
    measured = {
        "French": found["held-out"],
        "English": read_manifest(results / "corpora/nano/manifest.json", "abovo/corpus/"),
    }
    sets = SetsJob(validation_bytes=MEASURED_BYTES, facts=(), facts_per_document=0, offered_rows=0)
    return {
        "tokenizer": tokenizer,
        "base": results / "pretrain/nano/manifest.json",
        "french-docs": packed,
        "text/nano": results / f"packed/nano/nano-4k/{length}/manifest.json",
        "texts": {
            name: prepare_evaluation(corpus, sets, work / f"evaluation/{name}/manifest.json", SCRIPT)
            for name, corpus in measured.items()
        },
    }


def measured(model: Path, data: dict[str, Any], folder: Path) -> dict[str, float]:
    """Bits per byte of a model by language, kept in `folder`."""
    from abovo.console.progress import Progress
    from abovo.evaluation.bench import Bench
    from abovo.evaluation.held_out import score_set
    from abovo.evaluation.measures import measure_of
    from abovo.evaluation.metrics import set_scores
    from abovo.provenance.manifest import read_manifest
    from abovo.settings.stages import TaskJob

    kept = folder / "measured.json"
    if kept.exists():
        return json.loads(kept.read_text())
    job = TaskJob(task="held_out", kind="held_out", threads=1)
    bench = Bench(read_manifest(model, "abovo/model/"), job, Progress(str(model.parent)))
    found = {}
    for name, texts in data["texts"].items():
        scores = set_scores(score_set(bench, texts, "validation", "validation").rows)
        found[name] = measure_of("bits_per_byte").value(scores["bits_per_byte"])
    folder.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(found))
    return found


def row(name: str, runs: list[Path], data: dict[str, Any]) -> str:
    """A row of the table: what a way gave with each seed."""
    found = [measured(model, data, model.parent) for model in runs]
    summaries = [json.loads((model.parent / "training_summary.json").read_text()) for model in runs]
    columns = [told([one[language] for one in found]) for language in data["texts"]]
    weights = json.loads(runs[0].read_text())["counts"]
    memory = statistics.median(one["peak_memory_bytes"] for one in summaries) / 1e6
    speed = statistics.median(one["tokens_per_second"] for one in summaries)
    return (
        f"| {name} | {weights['trained_parameters']:,} | " + " | ".join(columns) + f" | {memory:,.0f} | {speed:,.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, help="folder of French text")
    parser.add_argument("--only", nargs="+", choices=list(WAYS), default=list(WAYS), help="ways (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--tokens", type=int, default=200_000, help="budget of a training (tokens, default: 200,000)")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder with the base model nano")
    parser.add_argument("--work", type=Path, default=Path("/tmp/abovo-benchmark-continued"))
    options = parser.parse_args()
    data = prepared(options.text, options.results, options.work)
    base = measured(data["base"], data, options.work / "base")
    print("| | weights that learn | " + " | ".join(data["texts"]) + " | MB | tokens/s |\n|---|---|---|---|---|---|")
    print("| base model | | " + " | ".join(f"{value:.3f}" for value in base.values()) + " | | |", flush=True)
    for name in options.only:
        if "quantization" in WAYS[name] and importlib.util.find_spec("bitsandbytes") is None:
            print(f"{name}: left out, since bitsandbytes is not installed", file=sys.stderr)
            continue
        runs = [trained(settings_of(WAYS[name], seed, options.tokens), data, options.work)[0] for seed in options.seeds]
        print(row(name, runs, data), flush=True)


if __name__ == "__main__":
    main()
