"""Turn a model's folder into how it is asked: its chat template, what it renders, and the ids that end an answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from abovo.errors import AbovoError
from abovo.tokenizing.opened import open_tokenizer

# Gives the text of messages, with or without the start of an answer.
Render = Callable[[Sequence[Mapping[str, str]], bool], str]


@dataclass(frozen=True)
class Chat:
    """How a model that was trained on conversations is asked. `ends` are the ids that end an answer, at least one.

    `template` is for llama.cpp, which knows a name for the beginning of a text where the tokenizer has none.
    """

    template: str
    ends: Sequence[int]
    render: Render


def chat_of(model: Path) -> Chat | None:
    """How the model of a folder is asked; None of one that continues texts.

    Raises AbovoError for a model that has a chat template and nothing to stop at.
    """
    from transformers import GenerationConfig

    loaded = open_tokenizer(model)
    if not loaded.chat_template:
        return None
    path = model / "generation_config.json"
    stops = GenerationConfig.from_pretrained(model).eos_token_id if path.is_file() else loaded.eos_token_id
    ids = stops if isinstance(stops, list) else [stops]
    # what ends a text ends an answer, too, but is not what the template ends it with
    ends = [one for one in ids if one != loaded.eos_token_id] or [one for one in ids if one is not None]
    if not ends:
        raise AbovoError("names nothing that an answer ends with", path, "set eos_token_id")

    def render(messages: Sequence[Mapping[str, str]], answer: bool) -> str:
        return str(loaded.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=answer))

    nothing = "{%- set bos_token = '' -%}" if loaded.bos_token is None and "bos_token" in loaded.chat_template else ""
    return Chat(nothing + loaded.chat_template, ends, render)
