"""Let a model continue fixed prompts greedily and describe the form of what it wrote, never its quality."""

from collections.abc import Mapping, Sequence
from typing import Any

from abovo.evaluation.statistics import rounded
from abovo.modeling.generate import Limits, ModelReader, write

SMOKE = "share of generations that are not empty, end by themselves and hold 3 to 200 words; form only, not quality"
WORDS = range(3, 201)
# Figures of the form of generations, and what each measures.
FORM = {
    **{
        f"form_distinct_{n}": f"share of different ones among the {what} of a generation, mean over generations"
        for n, what in ((1, "words"), (2, "pairs of neighbouring words"), (3, "runs of three words"))
    },
    "form_loops": "share of generations that end in the same words three times in a row",
    "form_ends_its_turn": "share of generations that end by themselves",
}


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


def smoke_score(generations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many generations have the form of an answer, and figures of their repetition; says what each measures."""
    right = sum(bool(item["ended"]) and len(item["text"].split()) in WORDS for item in generations)
    value = right / max(1, len(generations))
    return {"value": value, "n": len(generations), "measures": SMOKE, "form": form_of(generations)}


def form_of(generations: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """The figures of `FORM`; None where no text is long enough for one."""
    texts = [item["text"].split() for item in generations]
    found: dict[str, float | None] = {
        f"form_distinct_{n}": _mean([_distinct(words, n) for words in texts]) for n in (1, 2, 3)
    }
    looped = [_loops(words, ended=bool(item["ended"])) for words, item in zip(texts, generations, strict=True)]
    return {
        **{name: value if value is None else rounded(value) for name, value in found.items()},
        "form_loops": rounded(sum(looped) / max(1, len(looped))),
        "form_ends_its_turn": rounded(sum(bool(item["ended"]) for item in generations) / max(1, len(generations))),
    }


def _distinct(words: Sequence[str], n: int) -> float | None:
    runs = [tuple(words[first : first + n]) for first in range(len(words) - n + 1)]
    return len(set(runs)) / len(runs) if runs else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _loops(words: Sequence[str], *, ended: bool) -> bool:
    """Whether a text ends in the same words three times in a row; of a text that was cut off, its last word may be
    part of one."""
    tails = [words] if ended else [words, words[:-1]]
    return any(
        tail[-3 * period : -2 * period] == tail[-2 * period : -period] == tail[-period:]
        for tail in tails
        for period in range(1, len(tail) // 3 + 1)
    )
