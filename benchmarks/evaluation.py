"""Time our scorer and lm-eval's HFLM in turns on the same model and texts, and print how far their values are apart.

python benchmarks/evaluation.py [--model FOLDER] [--texts FOLDER] [--rows 300] [--rounds 3] [--threads 1] [--clock cpu]

Each turn is a process of its own. Without a model an untrained one of nano's shape is scored; without texts rows are
made up. FOLDER of texts holds what config/evaluation/files.yaml calls `texts`. Tokenizing and scoring count; opening
the model and reading the rows do not.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests"), str(ROOT / "benchmarks")]
SIDES = ("ours", "lm-eval")
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
MADE_UP = 300
VOCABULARY = 4096

Rows = list[tuple[tuple[str, ...], tuple[str, ...]]]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder in the Hugging Face layout")
    parser.add_argument("--texts", type=Path, help="folder whose eval/ holds the files of the tasks")
    parser.add_argument("--tasks", nargs="+", help="tasks of config/evaluation/tasks (default: those of files.yaml)")
    parser.add_argument("--rows", type=int, default=MADE_UP, help="rows of each task, 0: all (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=32, help="rows at once (default: %(default)s)")
    parser.add_argument("--context", type=int, help="ids at most (default: the model's positions)")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of ours")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: of this process, beside other load")
    parser.add_argument("--alone", action="store_true", help="ours only")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if options.side:
        print(json.dumps(turn(options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or small_model(Path(folder))
        found: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES[: 1 if options.alone else 2]}
        for number in range(options.rounds):
            for side in found:
                found[side].append(turn_apart(side, model))
                spent = found[side][-1]["seconds"]
                print(f"round {number + 1}, {side}: {sum(spent.values()):.1f} s", flush=True)
        report(found)


def turn_apart(side: str, model: Path) -> dict[str, Any]:
    """One turn in a process of its own, told what this one was told."""
    command = [sys.executable, __file__, *sys.argv[1:], "--model", str(model), "--side", side]
    quiet = {**os.environ, "TQDM_DISABLE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=quiet)
    return json.loads(done.stdout.splitlines()[-1])


def report(found: dict[str, list[dict[str, Any]]]) -> None:
    print(f"{'task':20} {'rows':>6} " + " ".join(f"{side + ' rows/s':>15}" for side in found) + "  ratio  differs by")
    for task, values in found["ours"][0]["values"].items():
        speeds = [statistics.median(len(values) / one["seconds"][task] for one in turns) for turns in found.values()]
        line = f"{task:20} {len(values):6} " + " ".join(f"{speed:15.1f}" for speed in speeds)
        if len(found) == 2:
            other = found["lm-eval"][0]["values"][task]
            apart = max(
                abs(a - b) for one, two in zip(values, other, strict=True) for a, b in zip(one, two, strict=True)
            )
            line += f" {speeds[0] / speeds[1]:6.2f}  {apart:.1e} nats"
        print(line)
    if refused := found["ours"][0]["refused"]:
        print(f"{refused} rows have an option longer than the context, which lm-eval refuses, and are left out")
    for side, turns in found.items():
        print(f"{side}: {statistics.median(sum(one['seconds'].values()) for one in turns):.1f} s in all, device"
              f" {turns[0]['device']}")  # fmt: skip


def turn(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds and log-likelihoods by task."""
    import torch

    from abovo.modeling.opened import open_scored

    torch.set_num_threads(options.threads)
    opened = open_scored(options.model, options.context, options.precision if options.side == "ours" else "float32")
    score = ours(opened, options.batch_size) if options.side == "ours" else theirs(opened, options.batch_size)
    seconds, values, refused, clock = {}, {}, 0, CLOCKS[options.clock]
    for task, whole in all_rows(options).items():
        rows = [row for row in whole if fits(row, opened)]
        refused += len(whole) - len(rows)
        begun = clock()
        values[task] = score(rows)
        seconds[task] = clock() - begun
    return {"seconds": seconds, "values": values, "refused": refused, "device": opened.device}


def fits(row: tuple[tuple[str, ...], tuple[str, ...]], opened: Any) -> bool:
    """Whether lm-eval takes a row: it ends with an assertion where an option alone is longer than the context."""
    from abovo.evaluation.scorer import encode_pairs

    pairs = encode_pairs(opened.tokenizer, list(zip(*row, strict=True)))
    return row[0] == ("",) or all(len(pair.scored) <= opened.context for pair in pairs)


def ours(opened: Any, batch_size: int) -> Any:
    from abovo.evaluation.scorer import Scorer, encode_pairs, encode_texts

    scorer = Scorer(opened, batch_size)

    def score(rows: Rows) -> list[list[float]]:
        if all(contexts == ("",) for contexts, _ in rows):
            found = scorer.documents(encode_texts(opened.tokenizer, [options[0] for _, options in rows]))
            return [[one.log_likelihood] for one in found]
        encoded = iter(encode_pairs(opened.tokenizer, [pair for row in rows for pair in zip(*row, strict=True)]))
        scored = scorer.options([list(islice(encoded, len(options))) for _, options in rows])
        return [[one.log_likelihood for one in row] for row in scored]

    return score


def theirs(opened: Any, batch_size: int) -> Any:
    import logging

    from lm_eval.models.huggingface import HFLM

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    model = HFLM(opened.model, tokenizer=opened.tokenizer, batch_size=batch_size, max_length=opened.context)

    def score(rows: Rows) -> list[list[float]]:
        if all(contexts == ("",) for contexts, _ in rows):
            found = model.loglikelihood_rolling([SimpleNamespace(args=row[1]) for row in rows], disable_tqdm=True)
            return [[nats] for nats in found]
        pairs = [SimpleNamespace(args=pair) for row in rows for pair in zip(*row, strict=True)]
        found = iter(model.loglikelihood(pairs, disable_tqdm=True))
        return [[nats for nats, _ in islice(found, len(options))] for _, options in rows]

    return score


def all_rows(options: argparse.Namespace) -> dict[str, Rows]:
    """(contexts, options) of the rows of each task."""
    rows = options.rows or None
    if options.texts is None:
        return {"made up": made_up(options.rows or MADE_UP)}
    from abovo.config.load import load
    from abovo.config.tasks import task_of
    from abovo.evaluation.items import open_task

    config, found = ROOT / "config", {}
    for name in options.tasks or load("evaluation", "files", config).tasks:
        file = replace(load("evaluation/tasks", name, config), folder=str(options.texts))
        items = islice(open_task(task_of(file, name, name)).items(), rows)
        found[name] = [(item.contexts, item.options) for item in items]
    return found


def made_up(count: int) -> Rows:
    """Questions with four options, of words that the model's tokenizer knows."""
    from small_world import WORDS

    draw = random.Random(1)

    def words(least: int, most: int) -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(least, most)))

    return [((words(20, 80),) * 4, tuple(f" {words(3, 20)}" for _ in range(4))) for _ in range(count)]


def small_model(folder: Path) -> Path:
    """An untrained model of nano's shape with a tokenizer trained on the embedded speeches."""
    from small_world import make_corpus, make_tokenizer
    from texts import speeches

    from abovo.config.load import load
    from abovo.corpus.shards import Document
    from abovo.modeling.build import build_model
    from abovo.tokenizing.load import load_tokenizer
    from abovo.training.export import export_model

    documents: Sequence[Document] = [Document(name, text, "speeches", len(text) // 4) for name, text in speeches()]
    tokenizer = load_tokenizer(make_tokenizer(folder, make_corpus(folder, documents), VOCABULARY))
    model = build_model(load("models", "nano", ROOT / "config"), tokenizer.vocabulary_size, 256, 1)
    export_model(model, tokenizer, folder / "model", 256)
    return folder / "model"


if __name__ == "__main__":
    main()
