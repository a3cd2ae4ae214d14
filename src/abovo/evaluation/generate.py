"""Let a model continue fixed prompts greedily and describe the form of what it wrote, never its quality."""

from collections.abc import Mapping, Sequence
from typing import Any

END_OF_TURN = "<|im_end|>"
SMOKE = "share of generations that are not empty, end by themselves and hold 3 to 200 words; form only, not quality"
WORDS = range(3, 201)


def generate(model: Any, tokenizer: Any, prompts: Sequence[str], chat: bool, new_tokens: int) -> list[dict[str, Any]]:
    """Greedy continuations of the prompts; with `chat`, answers to them through the chat template.

    Each stops at EOS, at <|im_end|>, or after `new_tokens` tokens.
    """
    import torch

    stops = sorted({tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(END_OF_TURN)} - {None})
    done = []
    for prompt in prompts:
        text = prompt
        if chat:
            messages = [{"role": "user", "content": prompt}]
            text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids.to(model.device)
        with torch.inference_mode():
            made = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                num_beams=1,
                max_new_tokens=new_tokens,
                eos_token_id=stops,
                pad_token_id=tokenizer.pad_token_id,
            )[0, ids.shape[1] :].tolist()
        ended = bool(made) and made[-1] in stops
        words = tokenizer.decode(made[:-1] if ended else made, skip_special_tokens=False)
        done.append({"prompt": text, "text": words, "tokens": len(made), "ended": ended})
    return done


def smoke_score(generations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many generations have the form of an answer; says what it measures."""
    right = sum(bool(item["ended"]) and len(item["text"].split()) in WORDS for item in generations)
    return {"value": right / max(1, len(generations)), "n": len(generations), "measures": SMOKE}
