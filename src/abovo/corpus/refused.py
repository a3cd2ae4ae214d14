"""Keep the places of refused and changed records, so that a source which stops at its budget is counted up to the place
where the budget was met, however many parts read how far beyond it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from abovo.corpus.examine import Verdict
from abovo.corpus.keys import Part
from abovo.errors import AbovoError

REFUSED = "refused.bin"
# position: unit and row in the source; reason: number in the manifest's `reasons`, the first stands for kept records
_RECORD = np.dtype([("position", "<u8"), ("reason", "<u2"), ("replaced", "<u4"), ("cut", "u1")])
_BLOCK = 1 << 16


class RefusedWriter:
    """Writes refused.bin where `stops`: a record for each that was refused, cut, or had characters replaced."""

    def __init__(self, folder: Path, stops: bool) -> None:
        self.file: IO[bytes] | None = (folder / REFUSED).open("wb") if stops else None
        self.reasons: dict[str, int] = {"": 0}

    def __enter__(self) -> "RefusedWriter":
        return self

    def __exit__(self, *_: Any) -> None:
        if self.file is not None:
            self.file.close()

    def write(self, verdicts: Sequence[Verdict]) -> None:
        if self.file is None:
            return
        rows = []
        for verdict in verdicts:
            cut = verdict.shared is not None and not verdict.reason
            replaced = 0 if verdict.reason else verdict.replaced
            if verdict.reason or cut or replaced:
                code = self.reasons.setdefault(verdict.reason, len(self.reasons))
                rows.append((verdict.order, code, replaced, cut))
        self.file.write(np.array(rows, _RECORD).tobytes())


def counts_up_to(parts: Sequence[Part], end: int | None, considered: int) -> dict[str, Any]:
    """The counts of a source's parts for its records before the place `end` (None: all), each once; `considered` of
    them were not refused."""
    rejected: Counter[str] = Counter()
    replaced = cut = 0
    for part in parts:
        bounds = [np.uint64(bound) for bound in (end, part.below) if bound is not None]
        reasons: Sequence[str] = part.manifest["reasons"]
        for found in _records(part):
            for bound in bounds:
                found = found[found["position"] < bound]
            numbers = np.bincount(found["reason"], minlength=len(reasons)).tolist()
            rejected.update({name: number for name, number in zip(reasons, numbers, strict=True) if name and number})
            replaced += int(found["replaced"].sum())
            cut += int(found["cut"].sum())
    return {
        "read": considered + rejected.total(), "documents": considered, "rejected": dict(sorted(rejected.items())),
        "replaced_u2581": replaced, "decontamination_cut": cut,
    }  # fmt: skip


def _records(part: Part) -> Any:
    outputs: Mapping[str, Any] = part.manifest["outputs"]
    path = part.manifest.file(REFUSED) if REFUSED in outputs else part.manifest.path.parent / REFUSED
    if not path.is_file():
        raise AbovoError("is missing", path, f"remove {part.manifest.path} and make it again")
    with path.open("rb") as file:
        while len(found := np.fromfile(file, _RECORD, _BLOCK)):
            yield found
