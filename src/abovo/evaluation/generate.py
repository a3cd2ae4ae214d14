"""Let a model continue fixed prompts greedily."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from abovo.modeling.generate import Limits, Written, write

if TYPE_CHECKING:
    from abovo.modeling.opened import Opened

# Beginnings that are continued at once.
TOGETHER = 64


def generate(opened: "Opened", prompts: Sequence[str], chat: bool, new_tokens: int) -> list[dict[str, Any]]:
    """Greedy continuations of the prompts; with `chat`, answers to them through the model's own chat template.

    Each stops at the ends that the model's generation_config names, EOS or that of an answer, after `new_tokens` tokens
    or when the context is full; of a prompt that fills it the last ids are read, and `cut` counts the others.
    """
    tokenizer, texts = opened.tokenizer, list(prompts)
    if chat:
        conversations = [[{"role": "user", "content": prompt}] for prompt in prompts]
        texts = tokenizer.apply_chat_template(conversations, tokenize=False, add_generation_prompt=True)
    whole = [tokenizer(text, add_special_tokens=False).input_ids or [opened.prefix] for text in texts]
    beginnings = [ids[-(opened.context - 1) :] for ids in whole]
    found = write_ids(opened, beginnings, new_tokens)
    return [
        {
            "prompt": text,
            "text": tokenizer.decode(one.ids, skip_special_tokens=False),
            "tokens": len(one.ids) + (one.stop is not None),
            "ended": one.stop is not None,
            **({"cut": cut} if (cut := len(ids) - len(read)) else {}),
        }
        for text, one, ids, read in zip(texts, found, whole, beginnings, strict=True)
    ]


def write_ids(
    opened: "Opened", beginnings: Sequence[Sequence[int]], new_tokens: int, ends: Collection[int] = ()
) -> list[Written]:
    """Greedy continuations of ids that fit the context, each up to an end that the model names, or to one of `ends`."""
    limits = Limits(new_tokens, opened.context, opened.stops | set(ends))
    found: list[Written] = []
    for first in range(0, len(beginnings), TOGETHER):
        found += write(opened.reader(), beginnings[first : first + TOGETHER], limits)
    return found
