"""Evaluations of small made-up scores, put together by the real code, for tests of what compares and shows them."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from abovo.evaluation.assemble import assemble_evaluation
from abovo.evaluation.evaluate import SCHEMA
from abovo.evaluation.evidence import ScoredSet, rows_file, write_evidence
from abovo.provenance.manifest import Manifest
from abovo.provenance.products import Job, Made, produce

SCRIPT = Path(__file__)
PROTOCOL = {
    "context_tokens": 64, "prefix": "EOS", "tokenization": "as it is", "software": "abovo", "device": "cpu",
    "precision": "float32", "how": "as the test says",
}  # fmt: skip


def documents(bits: Sequence[float], name: str = "validation", size: int = 1000) -> ScoredSet:
    """Documents of growing length and the bits per byte that each took."""
    rows = []
    for number, one in enumerate(bits):
        length = size * (1 + number % 3)
        nats = one * length * math.log(2)
        scores = {"bits_per_byte": [one * length, length], "token_perplexity": [nats, length / 4]}
        rows.append({"set": name, "id": str(number), "prompt": f"{number:016x}", "source": "a", "scores": scores})
    return ScoredSet(name, "rolling", rows, PROTOCOL, {"vocabulary": 600})


def answers(right: Sequence[float], name: str, kind: str = "choice", options: int = 4) -> ScoredSet:
    """Questions and whether each was answered rightly."""
    rows = [
        {"set": name, "id": str(number), "prompt": f"{number:016x}", "gold": number % options,
         "options": [{}] * options, "scores": {"accuracy": [one, 1.0]}}
        for number, one in enumerate(right)
    ]  # fmt: skip
    return ScoredSet(name, kind, rows, PROTOCOL)


def evaluated(
    folder: Path, tasks: Mapping[str, Sequence[ScoredSet] | str], model: str = "a", tokenizer: str = "t"
) -> Manifest:
    """The evaluation of a model below `folder`, by task; a task that is a text is absent for that reason."""
    made = [_scored(folder / f"evaluation/{name}.json", name, sets, model, tokenizer) for name, sets in tasks.items()]
    return assemble_evaluation(made, [], folder / "evaluation.json", SCRIPT)


def _scored(output: Path, name: str, sets: Sequence[ScoredSet] | str, model: str, tokenizer: str) -> Manifest:
    fields: dict[str, Any] = {"task": name, "model_sha256": model * 64, "tokenizer_sha256": tokenizer * 64, "sets": {}}
    scored = [] if isinstance(sets, str) else list(sets)
    fields |= {"absent": sets} if isinstance(sets, str) else {"sets": {one.name: one.described() for one in scored}}

    def make(folder: Path) -> Made:
        write_evidence(folder / rows_file(output), (row for one in scored for row in one.rows))
        return Made({}, fields)

    return produce(Job(output, SCHEMA, {}, {"fields": fields, "rows": [one.rows for one in scored]}, SCRIPT), make)
