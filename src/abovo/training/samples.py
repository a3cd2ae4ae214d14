"""Turn fixed prompts into what the model makes of them while it learns: greedy, so that no random stream moves."""

from collections.abc import Callable
from typing import Any, Protocol

import torch

from abovo.modeling.generate import Limits, write
from abovo.settings.training import Samples
from abovo.tokenizing.load import Tokenizer
from abovo.tokenizing.templates import Template, stop_ids


class Predictor(Protocol):
    """The part of an engine that samples need."""

    def predict(self, ids: torch.Tensor, column: int) -> torch.Tensor:
        """Logits [rows, V] of what follows a column of `ids`."""


Share = Callable[[Any], Any]
Sampler = Callable[[Predictor, Share], list[dict[str, str]]]


def sampler(tokenizer: Tokenizer, settings: Samples, length: int, template: Template | None = None) -> Sampler:
    """A function that continues the prompts of `settings` (a recipe's `samples`), with a `template` by answering them.

    Each continuation ends at EOS or the end of an answer, after `new_tokens` tokens or at `length` ids in all; what is
    no token stands for the end of the text before. All processes call the function together; each id is rank 0's
    choice, by way of `share`.
    """
    texts = [template.ask(prompt) if template else prompt for prompt in settings.prompts]
    beginnings = [tokenizer.encode(text) or [tokenizer.eos] for text in texts]
    limits = Limits(settings.new_tokens, length, stop_ids(tokenizer, template))

    def sample(engine: Predictor, share: Share) -> list[dict[str, str]]:
        found = write(EngineReader(engine, len(texts), length), beginnings, limits, agree=share)
        return [{"prompt": text, "text": tokenizer.decode(one.ids)} for text, one in zip(texts, found, strict=True)]

    return sample


class EngineReader:
    """Reads through an engine, whose model may lie in parts over the processes and be compiled.

    The rows always have `length` columns, as in training: what stands to the right of the last id changes nothing, and
    a compiled model meets one shape only. Nothing is gathered that a validation would not gather.
    """

    def __init__(self, engine: Predictor, rows: int, length: int) -> None:
        self.engine, self.seen = engine, 0
        self.ids = torch.zeros((rows, length), dtype=torch.int64)

    def __call__(self, ids: torch.Tensor) -> torch.Tensor:
        first, self.seen = self.seen, self.seen + ids.shape[1]
        self.ids[:, first : self.seen] = ids
        return self.engine.predict(self.ids, self.seen - 1)
