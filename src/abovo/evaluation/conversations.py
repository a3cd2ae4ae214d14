"""Turn the held-out conversations of instruction sets into scored sets: how likely a model finds the answers, and
whether what it answers itself has the form of an answer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from itertools import pairwise

import numpy as np

from abovo.errors import AbovoError
from abovo.evaluation.bench import Bench, Given
from abovo.evaluation.evidence import ScoredSet
from abovo.evaluation.generate import write_ids
from abovo.evaluation.options import Option
from abovo.facts.lots import number
from abovo.packing.bins import FIRST, LEARNED, open_bin, open_mask
from abovo.provenance.hashing import sha256_json
from abovo.provenance.manifest import Manifest

NAME = "conversations"
KIND = "conversation"
HOW = (
    "each conversation alone, in the chat template of its set; log-likelihoods of what the assistant says, ends of its"
    " turns included; first answers written greedily, of {new_tokens} tokens at most; conversations count as"
    " independent of each other"
)


@dataclass(frozen=True)
class Talk:
    """A conversation: its ids up to the end of the last answer, and which of them are the assistant's."""

    ids: tuple[int, ...]
    said: tuple[bool, ...]

    @property
    def answers(self) -> list[Option]:
        """Each answer, the end of its turn included, after all that comes before it."""
        edges = [place for place, (one, other) in enumerate(pairwise((False, *self.said, False))) if one != other]
        return [
            Option(self.ids[:begin], self.ids[begin:end]) for begin, end in zip(edges[::2], edges[1::2], strict=True)
        ]

    @property
    def name(self) -> str:
        """What tells conversations apart."""
        return sha256_json([list(self.ids), list(self.said)])[:16]


def score_conversations(bench: Bench, given: Given) -> Iterator[ScoredSet]:
    """A set for each instruction set. Raises AbovoError where its tokenizer is not the model's."""
    for name, packed in given.conversations.items():
        packed.require_tokenizer(bench.model["tokenizer_sha256"])
        found = [talk for talk in talks_of(packed) if talk.answers]
        if not found:
            raise AbovoError("holds no held-out conversation", packed.path, "raise validation_share of the data set")
        chosen = nsmallest(bench.settings.conversations, found, key=lambda talk: (number("talk", talk.name), talk.ids))
        yield _scored(bench, f"{NAME}.{name}", chosen, {"held_out": len(found)})


def talks_of(packed: Manifest) -> Iterator[Talk]:
    """The conversations of val.bin, in the order of its rows."""
    for ids, flags in zip(open_bin(packed, "val"), open_mask(packed, "val"), strict=True):
        begins = np.flatnonzero(flags & FIRST).tolist()
        for begin, end in pairwise([*begins, len(ids)]):
            said = (flags[begin:end] & LEARNED).astype(bool)
            length = int(np.flatnonzero(said).max(initial=-1)) + 1
            yield Talk(tuple(ids[begin : begin + length].tolist()), tuple(said[:length].tolist()))


def _scored(bench: Bench, name: str, talks: Sequence[Talk], about: dict[str, int]) -> ScoredSet:
    """One row per conversation."""
    bench.progress.update(f"scoring {name}", force=True)
    opened, new_tokens = bench.opened, bench.settings.new_tokens
    assert new_tokens is not None, "a job of conversations says how long an answer is"
    scored = bench.scorer.options([talk.answers for talk in talks])
    # the end of an answer is what the conversations themselves end answers with, whatever the model was exported with
    ends = {answer.scored[-1] for talk in talks for answer in talk.answers}
    markers = set(opened.tokenizer.added_tokens_decoder) - ends - opened.stops
    bench.progress.update(f"answering {name}", force=True)
    written = write_ids(opened, [talk.answers[0].context for talk in talks], new_tokens, ends)
    rows = []
    for place, (talk, found, answer) in enumerate(zip(talks, scored, written, strict=True)):
        scores = {
            "answer_perplexity": (-sum(one.log_likelihood for one in found), float(sum(one.tokens for one in found))),
            "ends_its_turn": (float(answer.stop is not None), 1.0),
        }
        if markers:
            scores["stays_in_role"] = (float(markers.isdisjoint(answer.ids)), 1.0)
        text = opened.tokenizer.decode(answer.ids, skip_special_tokens=False)
        rows.append({"set": name, "id": str(place), "prompt": talk.name, "text": text, "scores": scores})
    protocol = bench.protocol(how=HOW.format(new_tokens=new_tokens))
    return ScoredSet(name, KIND, rows, protocol, {"vocabulary": bench.vocabulary, **about})
