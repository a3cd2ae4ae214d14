"""Compare recipes of nano's fine-tuning, seed by seed: the skill that is learned, held-out conversations, what is
forgotten of plain text.

python benchmarks/fine_tuning.py                                  # every recipe below, three seeds
python benchmarks/fine_tuning.py --only shipped "lora, no text" --seeds 1

Needs the base model: snakemake --cores 2 results/pretrain/nano/manifest.json. A training that is finished is kept in
--work, so that a benchmark that was stopped goes on.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from recipe import told

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "benchmarks")]
SCRIPT = ROOT / "workflow/scripts/train.py"
RATE = "training.optimizer.learning_rate"
# What is laid over config/sft/nano.yaml; a run's values are nano.sft.KEY.
RECIPES: dict[str, dict[str, Any]] = {
    "shipped": {},
    "full, no text": {"text": None},
    "full, 1/8 text": {"text.share": 0.125},
    "full, 1/32 text, half the rate": {RATE: 0.001},
    "shipped, attention: row": {"attention": "row"},
    "lora, no text": {"method": "lora", "text": None, RATE: 0.004},
    "lora, 1/32 text": {"method": "lora", RATE: 0.004},
}
COLUMNS = {
    "era, accuracy": "era_chat.accuracy",
    "era, written": "era_written.exact_match",
    "answer perplexity": "conversations.speech-facts.answer_perplexity",
    "bits per byte of text": "validation.bits_per_byte",
}


def settings_of(recipe: dict[str, Any], seed: int) -> dict[str, Any]:
    """What the job of fine-tuning is told."""
    from abovo.config.jobs import job_settings
    from abovo.config.runs import Configuration

    values = {f"nano.sft.{key}": json.dumps(value) for key, value in recipe.items()} | {"nano.seed": str(seed)}
    words = ",".join(f"{key}={value}".replace('"', "") for key, value in values.items())
    values = job_settings(Configuration(ROOT / "config", words), "sft", {"run": "nano"})
    values["threads"] = 1
    values["training"]["tensorboard"] = False
    return values


def prepared(results: Path, work: Path) -> dict[str, Any]:
    """Conversations of the run, questions about held-out documents, and what else a training reads."""
    from abovo.config.runs import Configuration
    from abovo.evaluation.evaluation_sets import prepare_evaluation
    from abovo.instruction.prepare import prepare_instruction
    from abovo.provenance.manifest import read_manifest
    from abovo.settings.evaluation import SetsJob

    corpus = read_manifest(results / "corpora/nano/manifest.json", "abovo/corpus/")
    tokenizer = results / "tokenizers/nano-4k/tokenizer_config.json"
    settings = Configuration(ROOT / "config").shared("instruction", "speech-facts")
    talks = work / "instruction/speech-facts/nano-4k/manifest.json"
    sets = SetsJob(validation_bytes=120_000, facts=("era",), facts_per_document=6, offered_rows=400)
    prepare_instruction(tokenizer, corpus, settings, talks, SCRIPT)
    return {
        "tokenizer": tokenizer,
        "base": results / "pretrain/nano/manifest.json",
        "speech-facts": talks,
        "text/nano": results / "packed/nano/nano-4k/256/manifest.json",
        "questions": prepare_evaluation(corpus, sets, work / "evaluation/manifest.json", SCRIPT).path,
    }


def trained(settings: dict[str, Any], data: dict[str, Any], work: Path) -> tuple[Path, float]:
    """The manifest of a fine-tuned model and the seconds of processor time that it took."""
    from abovo.provenance.hashing import sha256_json

    folder = work / "models" / sha256_json(settings)[:16]
    output, took = folder / "manifest.json", folder / "seconds"
    if not took.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "settings.json").write_text(json.dumps(settings))
        sets = [f"{name}={data[name]}" for name in settings["phases"][0]["sets"]]
        command = [sys.executable, SCRIPT, "--label", "fine-tuning", "--settings", folder / "settings.json"]
        command += ["--start", data["base"], "--tokenizer", data["tokenizer"], "--sets", *sets]
        command += ["--state", folder / "state", "--output", output, "--log", folder / "log"]
        before = os.times()
        subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        after = os.times()
        took.write_text(
            str(after.children_user + after.children_system - before.children_user - before.children_system)
        )
    return output, float(took.read_text())


def measured(model: Path, data: dict[str, Any], folder: Path) -> dict[str, float]:
    """The columns of a model, kept in `folder`."""
    from abovo.console.progress import Progress
    from abovo.evaluation.bench import Bench, Given
    from abovo.evaluation.conversations import score_conversations
    from abovo.evaluation.held_out import score_set
    from abovo.evaluation.measures import measure_of
    from abovo.evaluation.metrics import set_scores
    from abovo.provenance.manifest import read_manifest
    from abovo.settings.stages import TaskJob

    kept = folder / "measured.json"
    if kept.exists():
        return json.loads(kept.read_text())
    job = TaskJob(task="held_out", kind="held_out", conversations=200, new_tokens=8, threads=1)
    bench = Bench(read_manifest(model, "abovo/model/"), job, Progress(str(model.parent)))
    given = Given(conversations={"speech-facts": read_manifest(data["speech-facts"])})
    questions = read_manifest(data["questions"])
    sets = [score_set(bench, questions, task, task) for task in ("validation", "era_chat", "era_written")]
    scores = {
        f"{one.name}.{name}": measure_of(name).value(found)
        for one in [*sets, *score_conversations(bench, given)]
        for name, found in set_scores(one.rows).items()
    }
    found = {title: scores[name] for title, name in COLUMNS.items()}
    folder.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(found))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(RECIPES), default=list(RECIPES), help="recipes")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder with the base model nano")
    parser.add_argument("--work", type=Path, default=Path("/tmp/abovo-benchmark-fine-tuning"))
    options = parser.parse_args()
    started, data = time.process_time(), prepared(options.results, options.work)
    base = measured(data["base"], data, options.work / "base")
    print("| recipe |", " | ".join(COLUMNS), "| seconds of processor time |\n|---" + "|---" * (len(COLUMNS) + 1) + "|")
    print("| base model |", " | ".join(f"{value:.3f}" for value in base.values()), "| |", flush=True)
    for name in options.only:
        runs = [trained(settings_of(RECIPES[name], seed), data, options.work) for seed in options.seeds]
        found = [measured(model, data, model.parent) for model, _ in runs]
        columns = []
        for values in ([one[title] for one in found] for title in COLUMNS):
            each = ", ".join(f"{value:.3f}" for value in values)
            columns.append(f"{each}: {told(values)}" if len(values) > 1 else each)
        took = statistics.fmean(seconds for _, seconds in runs)
        print(f"| {name} |", " | ".join(columns), f"| {took:.0f} |", flush=True)
    print(f"measured in {time.process_time() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
