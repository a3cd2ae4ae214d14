"""Say what decides the documents of one source of a corpus, and which portion of its records is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from abovo.corpus.filters import chosen
from abovo.corpus.shares import source_budget
from abovo.errors import AbovoError
from abovo.provenance.hashing import sha256_json
from abovo.provenance.manifest import Manifest
from abovo.settings.corpus import Corpus, Near, Source
from abovo.settings.keys import decisive
from abovo.settings.thresholds import Thresholds

# Keys of a source that do not decide what a part of it holds, or stand in a reading by other names.
DESCRIPTIVE = ("licence", "language", "tokens", "max_samples", "parts", "filters")


@dataclass(frozen=True)
class Reading:
    """Of a corpus' settings those that decide the documents of the source `name`; changing others reads nothing again.

    Reading ends with `stop_tokens` (None: with the source), and after `max_samples` records. `filters` are names of the
    table of filters; `language` and `thresholds` are what they go by, None where there are none.
    """

    name: str
    source: Source
    revision: Mapping[str, Any]
    stop_tokens: int | None
    max_samples: int | None
    min_characters: int
    max_characters: int | None
    filters: tuple[str, ...]
    thresholds: Thresholds | None
    language: str | None
    near: Near | None
    seed: int
    bytes_per_token: float | None
    count_with: str | None
    decontaminate: str | None

    @classmethod
    def of(cls, corpus: Corpus, name: str, revision: Mapping[str, Any]) -> "Reading":
        source, budget = corpus.sources[name], source_budget(corpus, name)
        stops = source.take == "first" and budget is not None
        filters = tuple(chosen(source.filters))
        return cls(
            name,
            source,
            revision,
            stop_tokens=round(budget * (1 + corpus.reserve)) if stops and budget is not None else None,
            max_samples=source.max_samples if source.max_samples is not None else corpus.max_samples,
            min_characters=corpus.min_characters,
            max_characters=corpus.max_characters,
            filters=filters,
            thresholds=corpus.thresholds if filters else None,
            language=source.language if filters else None,
            near=corpus.deduplication.near,
            seed=corpus.seed,
            bytes_per_token=corpus.bytes_per_token,
            count_with=corpus.count_with,
            decontaminate=corpus.decontaminate.action if corpus.decontaminate.against else None,
        )

    @property
    def bands(self) -> int:
        """Bands of a document's sketch, 0 where only equal texts are found."""
        return self.near.bands if self.near else 0

    @property
    def parameters(self) -> dict[str, Any]:
        """The reading as JSON, for manifests and fingerprints. The revision, which may list thousands of files and
        stands in the plan, is its hash: each of a thousand parts would hold the list of all files else."""
        own = {**decisive(self), "revision": sha256_json(self.revision)}
        own["source"] = {key: value for key, value in own["source"].items() if key not in DESCRIPTIVE}
        return own


def check_source(corpus: Corpus, name: str, plan: Manifest) -> None:
    """Raise AbovoError where the corpus, or its plan, has no such source."""
    if name not in corpus.sources:
        raise AbovoError(f"the corpus has no source {name!r}", "source", f"known: {', '.join(corpus.sources)}")
    if name not in plan["sources"]:
        raise AbovoError(f"does not list the source {name}", plan.path, "remove it and make it again")


@dataclass(frozen=True)
class Portion:
    """Which of a source's records are read: `part` of `parts`, from the place `start` on, until there is `enough`.

    `enough` are tokens of all parts together; None is what the reading stops at. `likely` is what a unit of the source
    holds, where the plan knows it (tokens).
    """

    part: int = 0
    parts: int = 1
    start: int = 0
    enough: int | None = None
    likely: float | None = None
