"""Turn a model's manifest and a job's settings into a bench: the opened model, its scorer, and what they are called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import abovo
from abovo.console.progress import Progress
from abovo.errors import AbovoError
from abovo.evaluation.evidence import Row, ScoredSet, evidence
from abovo.evaluation.item import Item
from abovo.evaluation.metrics import text_baselines
from abovo.evaluation.scorer import Scored, Scorer, encode_pairs, encode_texts
from abovo.modeling.layout import is_trusted, model_folder
from abovo.modeling.opened import Opened, open_scored
from abovo.provenance.manifest import Manifest
from abovo.settings.stages import TaskJob

DISJOINT = (
    "disjoint windows of {context} targets (lm-eval's loglikelihood_rolling): the first starts from EOS, each next one"
    " from the last token of the one before, the last one looks back as far as the context allows"
)
SLIDING = (
    "windows of {context} targets that move on by {stride}, each target counted once, in the first one that holds it;"
    " the first starts from EOS"
)


@dataclass(frozen=True)
class Given:
    """What a job may be given besides the model: prepared items, and by corpus what was made of it."""

    items: Manifest | None = None
    sets: Mapping[str, Manifest] = field(default_factory=dict)
    packed: Mapping[str, Manifest] = field(default_factory=dict)
    conversations: Mapping[str, Manifest] = field(default_factory=dict)
    """By name, instruction sets whose held-out conversations are scored."""

    def inputs(self) -> dict[str, Manifest]:
        """By the roles that the manifest names them by."""
        found = {"items": self.items} if self.items is not None else {}
        found |= {f"set/{name}": item for name, item in self.sets.items()}
        found |= {f"packed/{name}": item for name, item in self.packed.items()}
        return found | {f"conversations/{name}": item for name, item in self.conversations.items()}


@dataclass(frozen=True)
class Bench:
    """A model that is scored; it is opened when a score is first asked for."""

    model: Manifest
    settings: TaskJob
    progress: Progress

    @cached_property
    def opened(self) -> Opened:
        import torch

        torch.set_num_threads(self.settings.threads)
        torch.manual_seed(self.settings.seed)
        self.progress.update("opening the model", force=True)
        context, precision = self.model["sequence_length"], self.settings.precision
        return open_scored(model_folder(self.model), context, precision, self.progress, is_trusted(self.model))

    @cached_property
    def scorer(self) -> Scorer:
        return Scorer(self.opened, self.settings.batch_size, self.progress)

    def score(
        self, name: str, kind: str, items: Sequence[Item], how: Mapping[str, Any], *,
        refuse_cut: bool = False, about: Mapping[str, Any] | None = None,
    ) -> ScoredSet:  # fmt: skip
        """A set of items, scored as its kind asks for; `how` goes into the protocol, `about` beside it.

        Raises AbovoError where a score is not finite and, with `refuse_cut`, where a row does not fit the context.
        """
        self.progress.update(f"scoring {name}", force=True)
        if kind == "rolling":
            texts = encode_texts(self.opened.tokenizer, [item.options[0] for item in items])
            scored = [[one] for one in self.scorer.documents(texts, self.settings.stride)]
        else:
            scored = self._options(items)
        rows = [evidence(kind, item, found) for item, found in zip(items, scored, strict=True)]
        if refuse_cut:
            self.refuse_cut(rows)
        more = {"vocabulary": self.vocabulary, "baselines": text_baselines(kind, items)}
        return ScoredSet(name, kind, rows, self.protocol(**how), {**more, **(about or {})})

    def _options(self, items: Sequence[Item]) -> list[list[Scored]]:
        """What each option of each item got; all are encoded at once, which is faster."""
        pairs = [pair for item in items for pair in zip(item.contexts, item.options, strict=True)]
        encoded = iter(encode_pairs(self.opened.tokenizer, pairs))
        return self.scorer.options([[next(encoded) for _ in item.options] for item in items])

    def refuse_cut(self, rows: Sequence[Row]) -> None:
        """Raise AbovoError for the first row that the context had no room for."""
        for row in rows:
            if cut := row.get("cut"):
                what = f"is {cut} tokens too long for the context of {self.opened.context}"
                raise AbovoError(what, f"{row['set']}, row {row['id']}", "set too_long: cut, or take the row out")

    @property
    def vocabulary(self) -> int:
        return len(self.opened.tokenizer)

    def windows(self) -> str:
        """How documents are scored, in words."""
        stride = self.settings.stride
        form = DISJOINT if stride is None or stride >= self.opened.context else SLIDING
        return form.format(context=self.opened.context, stride=stride)

    def protocol(self, **more: Any) -> dict[str, Any]:
        """How a score was made, as far as all tasks share it, and `more`."""
        opened = self.opened
        return {
            "context_tokens": opened.context,
            "prefix": f"token {opened.prefix} before a text without context",
            "tokenization": f"tokenizer {self.model['tokenizer_sha256'][:12]}, text as it is, no special tokens",
            "software": f"abovo {abovo.__version__}",
            "device": opened.device,
            "precision": opened.precision,
            **more,
        }
