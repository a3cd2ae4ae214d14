"""Answer what lm-eval's tasks ask of a model through our own scorer: log-likelihoods, rolling ones, and texts."""

import logging
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from lm_eval.api.model import LM

from abovo.evaluation.options import Ids
from abovo.evaluation.scorer import Scored, Scorer, encode_pairs, encode_texts
from abovo.modeling.generate import Limits, steps

log = logging.getLogger("abovo")
# Longest generation where a task says nothing, as in lm-eval (tokens).
NEW_TOKENS = 256


class HarnessModel(LM):
    """A model as lm-eval sees it. `scored` keeps what was found for each request, by task, row and number of it."""

    def __init__(self, scorer: Scorer) -> None:
        super().__init__()
        self.scorer, self.opened = scorer, scorer.opened
        self.scored: dict[tuple[str, int, int], Scored] = {}
        self.cut: dict[tuple[str, int, int], int] = {}

    @property
    def tokenizer_name(self) -> str:
        return str(self.opened.tokenizer.name_or_path)

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        options = encode_pairs(self.opened.tokenizer, [request.args[:2] for request in requests])
        places = groupby(range(len(requests)), key=lambda place: _row_of(requests[place]))
        found = self.scorer.options([[options[place] for place in row] for _, row in places])
        return [
            (self._keep(request, one).log_likelihood, one.greedy)
            for request, one in zip(requests, (one for row in found for one in row), strict=True)
        ]

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        texts = encode_texts(self.opened.tokenizer, [request.args[0] for request in requests])
        found = self.scorer.documents(texts)
        return [self._keep(request, one).log_likelihood for request, one in zip(requests, found, strict=True)]

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Greedy continuations, whatever else a task wishes, up to the first of its stops."""
        if any(request.args[1].get("do_sample") for request in requests):
            log.warning("%s: texts are written greedily, where the task would draw them", requests[0].task_name)
        beginnings = encode_texts(self.opened.tokenizer, [request.args[0] for request in requests])
        asked: dict[tuple[int, tuple[str, ...]], list[tuple[int, Ids]]] = {}
        for number, (request, ids) in enumerate(zip(requests, beginnings, strict=True)):
            new_tokens, stops = _wishes(request.args[1])
            kept = self._kept(ids, new_tokens)
            self.cut[_place_of(request)] = len(ids) - len(kept)
            asked.setdefault((new_tokens, stops), []).append((number, kept))
        written, size = [""] * len(requests), self.scorer.batch_size
        for (new_tokens, stops), rows in asked.items():
            rows.sort(key=lambda row: len(row[1]))
            for first in range(0, len(rows), size):
                numbers, batch = zip(*rows[first : first + size], strict=True)
                for number, new in zip(numbers, self._write(batch, new_tokens, stops), strict=True):
                    text = self.opened.tokenizer.decode(new, skip_special_tokens=True)
                    written[number] = text[: _first_stop(text, stops)]
                if self.scorer.progress is not None:
                    self.scorer.progress.update(f"{min(first + size, len(rows)):,}/{len(rows):,} texts written")
        return written

    def _keep(self, request: Any, one: Scored) -> Scored:
        self.scored[_place_of(request)] = one
        return one

    def _kept(self, ids: Ids, new_tokens: int) -> Ids:
        """What of a beginning is read: as lm-eval, or half of a context that is too short for what is to be written."""
        context = self.opened.context
        room = context - new_tokens if new_tokens < context else context // 2
        return (ids or (self.opened.prefix,))[-max(1, room) :]

    def _write(self, beginnings: Sequence[Ids], new_tokens: int, stops: Sequence[str]) -> Sequence[Sequence[int]]:
        tokenizer, context = self.opened.tokenizer, self.opened.context
        limits = Limits(new_tokens, context, self.opened.stops)
        ends = [min(new_tokens, context - len(ids)) for ids in beginnings]
        found: list[list[int]] = [[] for _ in beginnings]
        unfinished = set(range(len(found)))
        for step in steps(self.opened.reader(), beginnings, limits):
            for row in unfinished & step.keys():
                found[row].append(step[row])
                ended = step[row] in limits.stops or len(found[row]) == ends[row]
                if ended or _first_stop(tokenizer.decode(found[row], skip_special_tokens=True), stops) is not None:
                    unfinished.remove(row)
            if not unfinished:
                break
        return found


def _row_of(request: Any) -> tuple[str, int]:
    return request.task_name, request.doc_id


def _place_of(request: Any) -> tuple[str, int, int]:
    return request.task_name, request.doc_id, request.idx


def _wishes(wishes: Mapping[str, Any]) -> tuple[int, tuple[str, ...]]:
    """The most tokens that are to be written, and the texts that end what is written."""
    until = wishes.get("until") or []
    stops = tuple(stop for stop in ([until] if isinstance(until, str) else until) if stop)
    return int(wishes.get("max_gen_toks", wishes.get("max_new_tokens", NEW_TOKENS))), stops


def _first_stop(text: str, stops: Sequence[str]) -> int | None:
    """Where the first of `stops` begins in a text; None where none does."""
    return min((place for stop in stops if (place := text.find(stop)) >= 0), default=None)
