"""Compare what llama.cpp makes of a GGUF file with what the model itself says: ids of texts, greedy tokens, a chat."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from abovo.exporting.llama_cpp import LlamaCpp
from abovo.exporting.vocabulary import Vocabulary

# Tokens that follow each prompt, and how many prompts there are.
TOKENS, PROMPTS = 48, 8
TALK = [
    {"role": "user", "content": " Who spoke?\n\n  And when? "},
    {"role": "assistant", "content": "A president."},
    {"role": "user", "content": "Why?"},
]


@dataclass(frozen=True)
class Expected:
    """What a GGUF file has to give: ids of texts, what follows each prompt, and the text that TALK is asked with.

    `banned` are the ids that would end a text, which neither side may choose, so that all have the same length.
    """

    ids: Mapping[str, Sequence[int]]
    prompts: Sequence[Sequence[int]]
    continued: Sequence[Sequence[int]]
    banned: Sequence[int]
    asked: str | None
    context: int


@dataclass(frozen=True)
class Proof:
    """`texts` that got equal ids, `unread` that could not be compared, and greedy tokens that are `equal`."""

    texts: int
    unread: int
    equal: int
    tokens: int

    @property
    def share(self) -> float:
        return self.equal / max(self.tokens, 1)


def prove(
    path: Path, expected: Expected, vocabulary: Vocabulary, markers: Sequence[str], *, exact: bool
) -> Proof | str:
    """The proof of a file, or why there is none; `exact` asks for equal tokens, too.

    A text with a marker is read with special pieces, any other as plain text: `</s>` in it is four characters then. One
    that holds both is read differently by design and is not compared.
    """
    engine = LlamaCpp(path, expected.context)
    names = [piece for piece in vocabulary.control if piece not in markers]
    unread = 0
    for text, ids in expected.ids.items():
        special = any(marker in text for marker in markers)
        if special and any(name in text for name in names):
            unread += 1
        elif engine.ids(text, special=special) != list(ids):
            return f"llama.cpp gives other ids for {text[:40]!r}"
    if expected.asked is not None and engine.render(TALK) != expected.asked:
        return "llama.cpp makes another text of a conversation"
    equal = tokens = 0
    for prompt, wanted in zip(expected.prompts, expected.continued, strict=True):
        found = engine.greedy(prompt, len(wanted), expected.banned)
        equal += sum(one == other for one, other in zip(found, wanted, strict=False))
        tokens += len(wanted)
    if exact and equal != tokens:
        return f"{equal} of {tokens} greedy tokens are equal"
    return Proof(len(expected.ids) - unread, unread, equal, tokens)


def continued(model: Any, prompts: Sequence[Sequence[int]], banned: Sequence[int], context: int) -> list[list[int]]:
    """What a model of transformers writes after each prompt, greedily, without the ids that are banned."""
    import torch

    found = []
    for prompt in prompts:
        count = min(TOKENS, context - len(prompt) - 1)
        ids = torch.tensor([list(prompt)])
        made: list[int] = []
        cache = None
        with torch.inference_mode():
            for _ in range(count):
                out = model(input_ids=ids, past_key_values=cache, use_cache=True)
                logits, cache = out.logits[0, -1], out.past_key_values
                logits[list(banned)] = -torch.inf
                made.append(int(logits.argmax()))
                ids = torch.tensor([made[-1:]])
        found.append(made)
    return found
