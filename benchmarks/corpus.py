"""Measure the corpus engine: MB of text per CPU-second, memory, two jobs at once, and datatrove on the same text.

python benchmarks/corpus.py                        # the embedded text, everything: about ten minutes
python benchmarks/corpus.py --quick                # about a minute, without datatrove and the 500 MB
python benchmarks/corpus.py --input FOLDER --json figures.json    # .jsonl.zst, .jsonl, .parquet, .txt

Every job runs in a process of its own, as in the workflow; imports are not counted. Figures are medians of alternated
runs. MB are those of the raw text (UTF-8) that enters. datatrove is installed in an environment of its own below
--work, which stays for the next call.
"""

import argparse
import itertools
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "benchmarks")]

from peers import environment_with  # noqa: E402

DATATROVE = ["datatrove==0.10.1", "xxhash==3.5.0", "orjson", "nltk", "spacy==3.8.7", "tokenizers", "regex", "zstandard"]
TOKENIZER = {
    "corpus": "benchmark", "vocabulary_size": 4096, "character_coverage": 0.9995, "max_piece_length": 16,
    "split_digits": True, "sample_mb": 4, "measure_mb": 1,
}  # fmt: skip
STAGE_A = ("read", "duplicates", "assemble")
Figures = dict[str, float]
# Sizes of the synthetic text that memory is compared at (MB).
SIZES = {"50MB": 50, "500MB": 500}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, help="folder of text files (default: the embedded speeches)")
    parser.add_argument("--column", default="text", help="column or key that holds the text (default: text)")
    parser.add_argument("--json", type=Path, help="file that receives the figures")
    parser.add_argument("--quick", action="store_true", help="one run of each, 50 MB at most, no datatrove")
    parser.add_argument("--runs", type=int, default=3, help="alternated runs (default: 3)")
    parser.add_argument("--sample-mb", type=float, default=0.5, help="text that datatrove gets (MB, default: 0.5)")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "abovo-benchmark")
    return parser.parse_args()


def measured(spec: dict[str, Any], work: Path) -> Figures:
    """Run one job in a process of its own."""
    return finished(start(spec, work))


def start(spec: dict[str, Any], work: Path) -> subprocess.Popen[str]:
    path = work / f"spec-{spec['job']}-{spec.get('part', 0)}-{spec.get('source', '')}.json"
    path.write_text(json.dumps(spec))
    command = [sys.executable, str(ROOT / "benchmarks/engine.py"), str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> Figures:
    out, error = process.communicate()
    if process.returncode:
        sys.exit(f"a job of the benchmark failed:\n{error}")
    return json.loads(out.splitlines()[-1])


def settings(sources: dict[str, Path], column: str) -> dict[str, Any]:
    """A corpus of local files, all filters on, near-duplicates found, no budget."""
    from abovo.settings.corpus import Corpus
    from abovo.settings.keys import build, decisive

    source = {
        "type": "local", "licence": "benchmark", "language": "en", "filters": ["all"], "column": column,
        "bad_records": "count",
    }  # fmt: skip
    corpus = {
        "description": "benchmark", "bytes_per_token": 3.6, "sample_documents": 20,
        "sources": {name: {**source, "paths": str(path)} for name, path in sources.items()},
    }  # fmt: skip
    return decisive(build(Corpus, corpus, "corpus"))


class Bench:
    """A folder of text and what the engine makes of it, job by job."""

    def __init__(self, source: Path, work: Path, name: str, column: str = "text") -> None:
        import texts

        self.work, self.folder, self.source, self.column = work, work / name, source, column
        self.mb = texts.text_bytes(source, column) / 1e6
        self.settings = settings({"text": source}, column)
        self.parquet = any(source.rglob("*.parquet"))

    def spec(self, job: str, **more: Any) -> dict[str, Any]:
        common = {"settings": self.settings, "folder": str(self.folder), "parquet": self.parquet}
        return {"job": job, "source": "text", "part": 0, **common, **more}

    def stage_a(self) -> dict[str, Figures]:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        measured(self.spec("plan"), self.work)
        return {job: measured(self.spec(job), self.work) for job in STAGE_A}

    def tokenizer(self, kind: str) -> Path:
        """A tokenizer of the shipped default's size, trained on this corpus; not measured."""
        path = self.work / f"tokenizers/{kind}/tokenizer_config.json"
        values = {**TOKENIZER, "model_type": kind}
        measured(self.spec("tokenizer", tokenizer=str(path), tokenizer_settings=values), self.work)
        return path

    def stage_b(self, tokenizer: Path) -> Figures:
        shutil.rmtree(self.folder / "packed", ignore_errors=True)
        return measured(self.spec("pack", tokenizer=str(tokenizer)), self.work)


def cpu(jobs: dict[str, Figures]) -> float:
    return sum(job["cpu"] for job in jobs.values())


def json_lines(bench: Bench, path: Path, megabytes: float, longest: int | None = None) -> float:
    """The text as plain JSON lines, for the calibration and for datatrove; returns the MB of text written."""
    import orjson
    import texts

    path.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with path.open("wb") as file:
        for number, text in enumerate(texts.texts(bench.source, bench.column)):
            if longest is None or len(text) <= longest:
                file.write(orjson.dumps({"id": str(number), "text": text}) + b"\n")
                size += len(text.encode())
            if size >= megabytes * 1e6:
                break
    return size / 1e6


def datatrove(work: Path, tokenizer: Path, splitter: str) -> Figures:
    shutil.rmtree(work / "datatrove", ignore_errors=True)
    python = environment_with(DATATROVE, work / "datatrove-environment")
    command = [str(python), str(ROOT / "benchmarks/datatrove_side.py"), str(work / "sample")]
    command += [str(work / "datatrove"), str(tokenizer), splitter]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"datatrove failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def two_jobs(work: Path, megabytes: float, runs: int) -> float:
    """How much faster two reading jobs at once get through two inputs than one after the other."""
    import texts

    sources = {name: texts.write_synthetic(work / f"two/{name}", megabytes, seed) for seed, name in enumerate("ab", 5)}
    folder, values = work / "two/corpus", settings(sources, "text")
    common = {"settings": values, "folder": str(folder), "part": 0}
    gains = []
    for _ in range(runs):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        measured({"job": "plan", **common}, work)
        alone = [measured({"job": "read", "source": name, **common}, work)["wall"] for name in sources]
        shutil.rmtree(folder / "sources")
        together = [start({"job": "read", "source": name, **common}, work) for name in sources]
        gains.append(sum(alone) / max(finished(process)["wall"] for process in together))
    return statistics.median(gains)


def compared(work: Path, documents: int) -> Figures:
    """Deduplication of documents that are only hashes and bands."""
    folder = work / "compare"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    spec = {"folder": str(folder), "documents": documents, "bands": 14, "memory_mb": 512}
    measured({"job": "synthetic_keys", **spec}, work)
    figures = measured({"job": "compare", **spec}, work)
    shutil.rmtree(folder)
    return figures


def main() -> None:
    options = arguments()
    work, runs = options.work, 1 if options.quick else options.runs
    work.mkdir(parents=True, exist_ok=True)
    import texts
    from report import print_table

    source = options.input or texts.write_embedded(work / "embedded")
    bench = Bench(source, work, "main", options.column)
    lines_mb = json_lines(bench, work / "lines.jsonl", 50)
    bench.stage_a()
    tokenizers = {kind: bench.tokenizer(kind) for kind in ("bpe", "unigram")}
    found: dict[str, list[float]] = {}
    parts: dict[str, list[float]] = {}
    peers = [] if options.quick else ["default", "blanks"]
    if peers:
        from abovo.tokenizing.huggingface import export_tokenizer
        from abovo.tokenizing.load import load_tokenizer

        sample_mb = json_lines(bench, work / "sample/sample.jsonl", options.sample_mb, 100_000)
        export_tokenizer(load_tokenizer(tokenizers["bpe"]), work / "exported", 1024, chat=False)
    for _ in range(runs):
        stage_a = bench.stage_a()
        spent = {"stage A": cpu(stage_a)}
        for kind, path in tokenizers.items():
            spent[f"stage B, {kind}"] = bench.stage_b(path)["cpu"]
            spent[f"end to end, {kind}"] = spent["stage A"] + spent[f"stage B, {kind}"]
        for name, seconds in spent.items():
            found.setdefault(name, []).append(bench.mb / seconds)
        for job in STAGE_A:
            parts.setdefault(job, []).append(bench.mb / stage_a[job]["cpu"])
        calibration = measured({"job": "calibrate", "lines": str(work / "lines.jsonl")}, work)["cpu"]
        found.setdefault("calibration", []).append(lines_mb / calibration)
        for splitter in peers:
            stages = datatrove(work, work / "exported/tokenizer.json", splitter)
            for stage, seconds in [*stages.items(), ("all", sum(stages.values()))]:
                found.setdefault(f"datatrove {splitter}, {stage}", []).append(sample_mb / seconds)
    speed = {name: statistics.median(values) for name, values in found.items()}
    speed |= {f"  {job}": statistics.median(values) for job, values in parts.items()}
    memory: dict[str, float | None] = dict.fromkeys(SIZES)
    for name, size in itertools.islice(SIZES.items(), 1 if options.quick else None):
        folder = work / f"synthetic-{size}"
        if not folder.is_dir():
            texts.write_synthetic(folder, size)
        large = Bench(folder, work, f"large-{size}")
        jobs = large.stage_a() | {"pack": large.stage_b(tokenizers["bpe"])}
        # The comparison's memory is a setting of its own (memory_mb); all other jobs stream.
        memory[name] = round(max(figures["rss_mb"] for job, figures in jobs.items() if job != "duplicates"), 1)
        speed[f"stage A, {name} synthetic"] = large.mb / sum(jobs[job]["cpu"] for job in STAGE_A)
        speed |= {f"memory of {job}, {name}": figures["rss_mb"] for job, figures in jobs.items()}
        kept = json.loads((large.folder / "manifest.json").read_text())["counts"]
        speed[f"documents kept of {name} (share)"] = kept["documents"] / kept["sources"]["text"]["read"]
        shutil.rmtree(large.folder)
    millions = 0.2 if options.quick else 5
    comparison = compared(work, int(millions * 1e6))
    result = {
        "stage_a": round(speed["stage A"], 2),
        "stage_b": round(speed["stage B, bpe"], 2),
        "end_to_end": round(speed["end to end, bpe"], 2),
        "ratio_datatrove": round(speed["end to end, bpe"] / speed["datatrove default, all"], 1) if peers else None,
        "ratio_datatrove_cheapest": round(speed["end to end, bpe"] / speed["datatrove blanks, all"], 1)
        if peers
        else None,
        "rss_over_imports_mb": memory,
        "two_jobs_speedup": round(two_jobs(work, 8 if options.quick else 25, runs), 2),
        "stage_b_unigram": round(speed["stage B, unigram"], 2),
        "end_to_end_unigram": round(speed["end to end, unigram"], 2),
        "stage_a_over_calibration": round(speed["stage A"] / speed["calibration"], 4),
        "deduplication": {
            "documents": int(millions * 1e6), "rss_over_imports_mb": round(comparison["rss_mb"], 1),
            "memory_mb": 512, "cpu_seconds": round(comparison["cpu"], 1),
        },
    }  # fmt: skip
    print_table(bench.mb, speed, result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
