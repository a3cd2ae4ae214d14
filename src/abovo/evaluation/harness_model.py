"""Answer what lm-eval's tasks ask of a model through our own scorer: log-likelihoods, rolling ones, and texts."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from lm_eval.api.model import LM

from abovo.evaluation.generate import stops_of
from abovo.evaluation.options import Ids
from abovo.evaluation.scorer import Scored, Scorer, encode_pairs, encode_texts

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
        beginnings = encode_texts(self.opened.tokenizer, [request.args[0] for request in requests])
        written: dict[int, str] = {}
        for number, (request, ids) in enumerate(zip(requests, beginnings, strict=True)):
            kept, new_tokens = self._room(ids, request.args[1])
            self.cut[_place_of(request)] = len(ids) - len(kept)
            written[number] = self._written(kept, new_tokens, _stops(request.args[1]))
            if self.scorer.progress is not None:
                self.scorer.progress.update(f"{number + 1:,}/{len(requests):,} texts written")
        return [written[number] for number in range(len(requests))]

    def _keep(self, request: Any, one: Scored) -> Scored:
        self.scored[_place_of(request)] = one
        return one

    def _room(self, ids: Ids, wishes: Mapping[str, Any]) -> tuple[Ids, int]:
        """What of a beginning is read and how much may be written: as lm-eval, or half of a context that is too short
        for what the task wants to be written."""
        context = self.opened.context
        wanted = int(wishes.get("max_gen_toks", wishes.get("max_new_tokens", NEW_TOKENS)))
        room = context - wanted if wanted < context else context // 2
        kept = (ids or (self.opened.prefix,))[-room:]
        return kept, min(wanted, context - len(kept))

    def _written(self, ids: Ids, new_tokens: int, stops: Sequence[str]) -> str:
        tokenizer, model = self.opened.tokenizer, self.opened.model
        found: Sequence[int] = []
        if self.opened.family is not None:
            from abovo.modeling.generate import Limits, ModelReader, steps

            found = []
            limits = Limits(new_tokens, self.opened.context, stops_of(model, tokenizer))
            for step in steps(ModelReader(model), [ids], limits):
                found = [*found, step[0]]
                if _first_stop(tokenizer.decode(found, skip_special_tokens=True), stops) is not None:
                    break
        else:
            import torch

            given = torch.tensor([ids], device=self.opened.device)
            more: dict[str, Any] = {"stop_strings": list(stops), "tokenizer": tokenizer} if stops else {}
            pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
            with torch.inference_mode():
                whole = model.generate(
                    given,
                    attention_mask=torch.ones_like(given),
                    max_new_tokens=new_tokens,
                    do_sample=False,
                    num_beams=1,
                    use_cache=True,
                    pad_token_id=pad,
                    **more,
                )
            found = whole[0, len(ids) :].tolist()
        text = tokenizer.decode(found, skip_special_tokens=True)
        return text[: _first_stop(text, stops)]


def _row_of(request: Any) -> tuple[str, int]:
    return request.task_name, request.doc_id


def _place_of(request: Any) -> tuple[str, int, int]:
    return request.task_name, request.doc_id, request.idx


def _stops(wishes: Mapping[str, Any]) -> list[str]:
    until = wishes.get("until") or []
    return [stop for stop in ([until] if isinstance(until, str) else until) if stop]


def _first_stop(text: str, stops: Sequence[str]) -> int | None:
    """Where the first of `stops` begins in a text; None where none does."""
    return min((place for stop in stops if (place := text.find(stop)) >= 0), default=None)
