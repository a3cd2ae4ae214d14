"""Turn packed validation rows into how likely a model finds the end of a text where one ends, and where none does."""

from typing import Any

import numpy as np
import torch

from abovo.errors import AbovoError
from abovo.evaluation.bench import Bench
from abovo.evaluation.evidence import ScoredSet
from abovo.evaluation.scorer import LOGITS
from abovo.provenance.manifest import Manifest
from abovo.training.sets import open_rows

KIND = "document_ends"
# Rows whose sums are one line of evidence, which is what is resampled.
BLOCK = 4
HOW = (
    "probability of EOS before each target of the packed validation rows that is not padding: where it is the end of a"
    " document, and where it is anything else"
)


def score_ends(bench: Bench, packed: Manifest, name: str) -> ScoredSet:
    """A set of the rows of val.bin. Raises AbovoError where no document ends in them."""
    rows, end, found = open_rows(packed, "val"), packed["eos_id"], []
    for first in range(0, len(rows), BLOCK):
        bench.progress.update(f"ends of documents, rows {first}/{len(rows)}")
        part = rows[first : first + BLOCK]
        ids, counts = part.array.astype(np.int64), part.counts[:, 1:]
        spoken, ends = _probability(bench, ids, end), ids[:, 1:] == end
        scores = {
            metric: (float(spoken[chosen].sum()), float(chosen.sum()))
            for metric, chosen in (
                ("probability_at_ends", ends & counts), ("probability_elsewhere", ~ends & counts)
            ) if chosen.any()
        }  # fmt: skip
        if scores:
            found.append({"set": name, "id": str(first), "scores": scores})
    if not any("probability_at_ends" in row["scores"] for row in found):
        raise AbovoError("holds no end of a validation document", packed.path, "raise validation_share of the corpus")
    about: dict[str, Any] = {"vocabulary": bench.vocabulary}
    return ScoredSet(name, KIND, found, bench.protocol(how=HOW), about)


def _probability(bench: Bench, ids: np.ndarray, token: int) -> np.ndarray:
    """What the model gives `token` after each id of the rows but the last, float64 [rows, L - 1]."""
    forms = bench.scorer.forms
    values = forms.plain(torch.from_numpy(ids).to(forms.device))[:, :-1].flatten(0, 1)
    step = max(1, LOGITS[forms.device.type] // forms.vocabulary)
    parts = [
        forms.logits(values[first : first + step]).log_softmax(-1)[:, token].exp().double().cpu()
        for first in range(0, len(values), step)
    ]
    return torch.cat(parts).numpy().reshape(len(ids), -1)
