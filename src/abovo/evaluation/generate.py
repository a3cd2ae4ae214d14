"""Let a model continue fixed prompts greedily."""

from collections.abc import Sequence
from typing import Any

from abovo.modeling.generate import Limits, ModelReader, write


def generate(
    model: Any, tokenizer: Any, prompts: Sequence[str], chat: bool, new_tokens: int, context: int
) -> list[dict[str, Any]]:
    """Greedy continuations of the prompts; with `chat`, answers to them through the model's own chat template.

    Each stops at the ends that the model's generation_config names, EOS or that of an answer, after `new_tokens` tokens
    or at `context` tokens in all.
    """
    texts = list(prompts)
    if chat:
        conversations = [[{"role": "user", "content": prompt}] for prompt in prompts]
        texts = tokenizer.apply_chat_template(conversations, tokenize=False, add_generation_prompt=True)
    beginnings = [tokenizer(text, add_special_tokens=False).input_ids for text in texts]
    found = write(ModelReader(model), beginnings, Limits(new_tokens, context, stops_of(model, tokenizer)))
    return [
        {
            "prompt": text,
            "text": tokenizer.decode(one.ids, skip_special_tokens=False),
            "tokens": len(one.ids) + (one.stop is not None),
            "ended": one.stop is not None,
        }
        for text, one in zip(texts, found, strict=True)
    ]


def stops_of(model: Any, tokenizer: Any) -> set[int]:
    """The ids at which a model in the Hugging Face layout ends what it writes."""
    named = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return {tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])} - {None}
