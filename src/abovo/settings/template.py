"""A chat template as jobs are told it: its text decides their bytes."""

from dataclasses import dataclass

from abovo.settings.keys import key


@dataclass(frozen=True, kw_only=True)
class ChatTemplate:
    """A chat template: config/templates/NAME.jinja, or the tokenizer's own."""

    name: str = key("Name of the template")
    text: str | None = key("Its Jinja text; null: that which the tokenizer came with", default=None)
