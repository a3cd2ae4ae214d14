"""Let a model continue fixed prompts greedily."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from abovo.modeling.generate import Limits, ModelReader, Written, stops_of, write

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
    if opened.family is None:
        return [write_alone(opened, beginning, new_tokens, ends=ends) for beginning in beginnings]
    limits = Limits(new_tokens, opened.context, stops_of(opened.model, opened.tokenizer) | set(ends))
    found = []
    for first in range(0, len(beginnings), TOGETHER):
        found += write(ModelReader(opened.model), beginnings[first : first + TOGETHER], limits)
    return found


def write_alone(
    opened: "Opened", beginning: Sequence[int], new_tokens: int, texts: Sequence[str] = (), ends: Collection[int] = ()
) -> Written:
    """What a model that is not of our families writes, by transformers' own generation, also up to one of `texts`.

    One beginning at a time, since not every class of models takes padding well.
    """
    import torch

    stops = stops_of(opened.model, opened.tokenizer) | set(ends)
    given = torch.tensor([list(beginning)], device=opened.device)
    more: dict[str, Any] = {"stop_strings": list(texts), "tokenizer": opened.tokenizer} if texts else {}
    with torch.inference_mode():
        whole = opened.model.generate(
            given,
            attention_mask=torch.ones_like(given),
            max_new_tokens=min(new_tokens, opened.context - len(beginning)),
            do_sample=False,
            num_beams=1,
            use_cache=True,
            eos_token_id=sorted(stops) or None,
            pad_token_id=min(stops, default=0),
            **more,
        )
    ids = whole[0, len(beginning) :].tolist()
    stop = ids.pop() if ids and ids[-1] in stops else None
    return Written(ids, stop)
