"""Turn fixed prompts into what the model makes of them while it learns: greedy, so that no random stream moves."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch

from abovo.tokenizing.load import Tokenizer
from abovo.tokenizing.special import EOS, IM_END


class Predictor(Protocol):
    """The part of an engine that samples need."""

    def predict(self, ids: torch.Tensor) -> torch.Tensor:
        """Logits [rows, V] of the id that follows each row."""


Share = Callable[[int], int]
Sampler = Callable[[Predictor, Share], list[dict[str, str]]]


def sampler(tokenizer: Tokenizer, settings: Mapping[str, Any], length: int, prompts: Sequence[str] = ()) -> Sampler:
    """A function that continues the prompts of `settings` (a recipe's `samples`), or `prompts` in their place.

    Each continuation ends at EOS, at <|im_end|>, after `new_tokens` tokens or at `length` ids in all.
    """
    texts = list(prompts or settings["prompts"])

    def sample(engine: Predictor, share: Share) -> list[dict[str, str]]:
        found = []
        for text in texts:
            # training data has no BOS: a document follows the EOS of the one before
            start = tokenizer.encode(text) or [EOS]
            ids = continue_greedily(engine, start, min(settings["new_tokens"], length - len(start)), share)
            found.append({"prompt": text, "text": tokenizer.decode(ids)})
        return found

    return sample


def continue_greedily(engine: Predictor, start: Sequence[int], new_tokens: int, share: Share) -> list[int]:
    """The ids after `start`. All processes call it together; each id is rank 0's choice, by way of `share`."""
    ids = list(start)
    for _ in range(new_tokens):
        following = share(int(engine.predict(torch.tensor([ids]))[0].argmax()))
        if following in (EOS, IM_END):
            break
        ids.append(following)
    return ids[len(start) :]
