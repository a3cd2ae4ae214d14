"""Turn fixed prompts into what the model makes of them while it learns: greedy, so that no random stream moves."""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from abovo.settings.training import Samples
from abovo.tokenizing.chatml import render
from abovo.tokenizing.load import Tokenizer
from abovo.tokenizing.special import EOS, IM_END


class Predictor(Protocol):
    """The part of an engine that samples need."""

    def predict(self, ids: torch.Tensor, column: int) -> torch.Tensor:
        """Logits [rows, V] of what follows a column of `ids`."""


Share = Callable[[int], int]
Sampler = Callable[[Predictor, Share], list[dict[str, str]]]


def sampler(tokenizer: Tokenizer, settings: Samples, length: int, chat: bool = False) -> Sampler:
    """A function that continues the prompts of `settings` (a recipe's `samples`), in a `chat` by answering them.

    Each continuation ends at EOS, at <|im_end|>, after `new_tokens` tokens or at `length` ids in all.
    """
    texts = list(settings.prompts)
    if chat:
        texts = [render([{"role": "user", "content": prompt}], answer=True) for prompt in texts]

    def sample(engine: Predictor, share: Share) -> list[dict[str, str]]:
        found = []
        for text in texts:
            # training data has no BOS: a document follows the EOS of the one before
            start = (tokenizer.encode(text) or [EOS])[: length - 1]
            ids = continue_greedily(engine, start, length, settings.new_tokens, share)
            found.append({"prompt": text, "text": tokenizer.decode(ids)})
        return found

    return sample


def continue_greedily(engine: Predictor, start: Sequence[int], length: int, new_tokens: int, share: Share) -> list[int]:
    """The ids after `start`. All processes call it together; each id is rank 0's choice, by way of `share`.

    The row always has `length` columns, as in training: what stands to the right of the last id changes nothing, and a
    compiled model meets one shape only.
    """
    row = torch.full((1, length), EOS)
    row[0, : len(start)] = torch.tensor(start)
    end = min(length, len(start) + new_tokens)
    for column in range(len(start), end):
        following = share(int(engine.predict(row, column - 1)[0].argmax()))
        if following in (EOS, IM_END):
            return row[0, len(start) : column].tolist()
        row[0, column] = following
    return row[0, len(start) : end].tolist()
