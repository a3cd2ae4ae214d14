"""Run datatrove's filters, MinHash and tokenizer on a folder of .jsonl files, and print CPU-seconds per stage as JSON.

Runs in an environment of its own, without abovo: PYTHON benchmarks/datatrove_side.py INPUT WORK TOKENIZER.json SPLITTER

One process, one task. What a stage costs before its first document (imports, opening a language's rules) is not
counted: each stage first runs on a few documents. SPLITTER is `default` (spaCy, what its filters choose for English)
or `blanks`: str.split in the place of a word splitter, cheaper than any that it ships.
"""

import json
import re
import shutil
import sys
import time
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.logging import logger
from datatrove.utils.word_tokenizers import WordTokenizer


class Blanks(WordTokenizer):
    """Words are what stands between blanks."""

    def word_tokenize(self, text: str) -> list[str]:
        return text.split()

    def sent_tokenize(self, text: str) -> list[str]:
        return text.split(". ")

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in re.finditer(r"\S+", text)]

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Blanks)


def spent(pipeline: list, work: Path, tasks: int = 1) -> float:
    """CPU-seconds of a pipeline in this process."""
    shutil.rmtree(work / "logs", ignore_errors=True)
    started = time.process_time()
    LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=str(work / "logs")).run()
    return time.process_time() - started


def run(source: Path, work: Path, tokenizer: str, language) -> dict[str, float]:
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
    names = ("kept", "signatures", "buckets", "removed", "unique", "ids")
    kept, signatures, buckets, removed, unique, ids = (str(work / name) for name in names)
    filters = spent(
        [
            JsonlReader(str(source)), GopherRepetitionFilter(language=language), GopherQualityFilter(language=language),
            JsonlWriter(kept),
        ],
        work,
    )  # fmt: skip
    minhash = spent([JsonlReader(kept), MinhashDedupSignature(signatures, config=config, language=language)], work)
    minhash += spent([MinhashDedupBuckets(signatures, buckets, config=config)], work, tasks=config.num_buckets)
    minhash += spent([MinhashDedupCluster(buckets, removed, config=config)], work)
    minhash += spent([JsonlReader(kept), MinhashDedupFilter(removed), JsonlWriter(unique)], work)
    tokens = spent(
        [JsonlReader(unique), DocumentTokenizer(ids, tokenizer, eos_token="</s>", shuffle_documents=False)], work
    )
    return {"filters": filters, "minhash": minhash, "tokens": tokens}


def main() -> None:
    source, work, tokenizer, splitter = sys.argv[1:]
    logger.remove()
    language = Blanks() if splitter == "blanks" else "eng"
    first = Path(work) / "first"
    first.mkdir(parents=True)
    lines = next(iter(sorted(Path(source).glob("*.jsonl")))).read_text(encoding="utf-8").splitlines()[:20]
    (first / "first.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    run(first, Path(work) / "warm", tokenizer, language)
    print(json.dumps(run(Path(source), Path(work) / "measured", tokenizer, language)))


if __name__ == "__main__":
    main()
