"""Turn text into a packed bin, and settings into finished training runs, each in a process of its own.

A run is kept under the hash of everything that it is made from, so that a benchmark that was stopped goes on. What was
trained by other code than the present is told (`stale`), not trained again; removing the folder does that.
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "benchmarks"), str(ROOT / "tests")]
CONFIG = ROOT / "config"
SCRIPT = ROOT / "workflow/scripts/train.py"
VALIDATION_TOKENS = 100_000
Settings = dict[str, Any]


def packed_text(work: Path, source: Path | None, megabytes: float, vocabulary: int, length: int) -> tuple[Path, Path]:
    """(tokenizer_config.json, packed manifest) of a folder's text, or of the embedded speeches.

    The tokenizer is BPE and trained on the training documents; a document is in training or in validation as a whole.
    """
    from abovo.config.load import Values, load
    from abovo.packing.pack import pack_corpus
    from abovo.tokenizing.load import load_tokenizer
    from abovo.tokenizing.train import train_tokenizer

    corpus = _corpus(work, source, megabytes)
    settings = load("tokenizers", "nano-4k", CONFIG, values=[Values({"vocabulary_size": vocabulary, "sample_mb": 10})])
    tokenizer = work / f"tokenizers/bpe_{vocabulary}/tokenizer_config.json"
    train_tokenizer(settings, corpus, tokenizer, SCRIPT)
    packed = work / f"packed/benchmark/bpe_{vocabulary}/{length}/manifest.json"
    pack_corpus(corpus, load_tokenizer(tokenizer), length, packed, SCRIPT)
    return tokenizer, packed


def _corpus(work: Path, source: Path | None, megabytes: float):
    import texts
    from small_world import make_corpus

    from abovo.corpus.clean import clean
    from abovo.corpus.shards import Document

    found = texts.speeches() if source is None else _spread(source, megabytes)
    cleaned = ((name, clean(text, "prose")[0]) for name, text in found)
    unique = {text: name for name, text in cleaned if len(text) >= 150}
    documents = [Document(name, text, "text", len(text) // 3) for text, name in unique.items()]
    share = min(0.2, VALIDATION_TOKENS / sum(document.tokens for document in documents))
    made_from = {"source": str(source), "megabytes": megabytes}
    return make_corpus(work, documents, share, "benchmark", ["text"], made_from)


def _spread(source: Path, megabytes: float) -> Iterable[tuple[str, str]]:
    """At most `megabytes` of a folder's text, every document or every so many-th."""
    import texts

    every = max(1.0, texts.text_bytes(source) / (megabytes * 1e6))
    for number, text in enumerate(texts.texts(source)):
        if int(number / every) != int((number - 1) / every):
            yield f"text#{number}", text


def training(name: str, values: Mapping[str, Any]) -> Settings:
    """A recipe of config/training with some values of its own."""
    from abovo.config.load import Values, load
    from abovo.settings.keys import plain

    return plain(load("training", name, CONFIG, values=[Values(values)]))


def model(values: Mapping[str, Any], name: str = "tiny") -> Settings:
    """A model of the class and initial weights of config/models/{name}.yaml with a shape of its own."""
    from abovo.config.load import Values, load
    from abovo.settings.keys import plain

    # the claim is that of the file's own shape
    return plain(load("models", name, CONFIG, values=[Values({"non_embedding_parameters": None, **values})]))


def run_settings(shape: Settings, recipe: Settings, tokens: int, length: int, seed: int) -> Settings:
    """What the trainer takes: one phase, one process, one thread."""
    from abovo.config.load import Values, load
    from abovo.settings.keys import plain

    return {
        "model": shape,
        "training": recipe,
        "engine": plain(load("engines", "torch", CONFIG, values=[Values({"device": "cpu"})])),
        "phases": [{"name": "main", "sets": {"benchmark": 1.0}, "share": 1.0}],
        "tokens": tokens,
        "sequence_length": length,
        "parameters": None,
        "seed": seed,
        "threads": 1,
    }


class Runs:
    """Training runs on one packed text, at most `together` at a time, that leave other processes `nice` steps ahead.

    With `outcomes` a run that diverged is a result, {diverged} alone, and the models of all are kept (`model_of`).
    """

    def __init__(
        self, work: Path, tokenizer: Path, packed: Path, together: int = 2, nice: int = 10, outcomes: bool = False
    ) -> None:
        from abovo.provenance.code import code_hash
        from abovo.provenance.manifest import read_manifest

        self.work, self.tokenizer, self.packed, self.together = work, tokenizer, packed, together
        self.nice, self.outcomes = nice, outcomes
        self.data = read_manifest(packed).digest
        self.code = code_hash(SCRIPT)
        self.stale = 0

    def results(self, wanted: Sequence[Settings]) -> list[dict[str, Any]]:
        """{validation_loss, tokens, parameters, rows, seconds} of each run, trained where it is not kept."""
        waiting = [settings for settings in wanted if not self._place(settings).exists()]
        active: list[tuple[Settings, subprocess.Popen[bytes]]] = []
        try:
            while waiting or active:
                while waiting and len(active) < self.together:
                    settings = waiting.pop(0)
                    active.append((settings, self._start(settings)))
                # in their order: the runs of one comparison are about equally long
                settings, process = active.pop(0)
                if process.wait():
                    sys.exit(f"a training run failed, see {self._place(settings).with_suffix('.log')}")
        finally:
            for _, process in active:
                process.terminate()
        found = [json.loads(self._place(settings).read_text()) for settings in wanted]
        self.stale = sum(result["code"] != self.code for result in found)
        return found

    def kept(self, settings: Settings) -> dict[str, Any] | None:
        """The result of a run that was trained; None of one that was not."""
        place = self._place(settings)
        return json.loads(place.read_text()) if place.exists() else None

    def model_of(self, settings: Settings) -> Path:
        """Folder of the model of a finished run, in the Hugging Face layout."""
        return self._place(settings).with_suffix("")

    def _place(self, settings: Settings) -> Path:
        from abovo.provenance.hashing import sha256_json

        return self.work / "runs" / f"{sha256_json({'data': self.data, 'settings': settings})[:16]}.json"

    def _start(self, settings: Settings) -> subprocess.Popen[bytes]:
        place = self._place(settings)
        place.parent.mkdir(parents=True, exist_ok=True)
        spec = place.with_suffix(".spec")
        values = {"settings": settings, "tokenizer": str(self.tokenizer), "packed": str(self.packed), "code": self.code}
        values["outcomes"] = self.outcomes
        spec.write_text(json.dumps(values))
        environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"}
        command = ["nice", "-n", str(self.nice), sys.executable, __file__, str(spec), str(place)]
        with place.with_suffix(".log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=environment)


def main(spec: Path, place: Path) -> None:
    """Train one run by the trainer's own entry and keep what it says of itself."""
    from abovo.cluster.launched import die_with_parent
    from abovo.errors import AbovoError

    die_with_parent()
    values = json.loads(spec.read_text())
    try:
        result = _train(values, place)
    except AbovoError as error:
        if not values["outcomes"] or not error.what.startswith("the training diverged"):
            raise
        result = {"diverged": str(error)}
    partial = place.with_suffix(".partial")
    partial.write_text(json.dumps({**result, "code": values["code"], "settings": values["settings"]}))
    partial.rename(place)


def _train(values: Mapping[str, Any], place: Path) -> dict[str, Any]:
    import shutil
    import time

    from abovo.training.job import read_inputs, run_job
    from abovo.training.task import read_settings

    state = place.with_suffix(".state")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        output = Path(folder) / "model/manifest.json"
        inputs = read_inputs(Path(values["tokenizer"]), {"benchmark": Path(values["packed"])})
        run_job(read_settings(values["settings"]), inputs, output, state, SCRIPT, "pretraining")
        manifest = json.loads(output.read_text())
        if values["outcomes"]:
            shutil.rmtree(place.with_suffix(""), ignore_errors=True)
            shutil.copytree(output.parent / "model", place.with_suffix(""))
        rows = [json.loads(line) for line in (output.parent / "metrics.jsonl").read_text().splitlines()]
    found = {key: manifest["counts"][key] for key in ("tokens", "parameters", "steps")}
    found["validation_loss"] = manifest["validation_loss"]
    seconds = round(time.monotonic() - started, 1)
    return {**found, "rows": rows, "seconds": seconds}


if __name__ == "__main__":
    main(*itertools.islice(map(Path, sys.argv[1:]), 2))
