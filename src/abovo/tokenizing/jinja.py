"""Turn a chat template's Jinja text into the text of a conversation, as transformers renders it, in Jinja's sandbox."""

import functools
from typing import Any

from jinja2 import Template, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Said(str):
    """Text of a `{% generation %}` block."""


class Generation(Extension):
    """The block `{% generation %}` ... `{% endgeneration %}` around what the assistant says."""

    tags = {"generation"}  # noqa: RUF012  (Jinja's own form)

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_said"), [], [], body).set_lineno(line)

    def _said(self, caller: Macro) -> Said:
        return Said(caller())


def render(text: str, **values: Any) -> list[tuple[str, bool]]:
    """The rendered pieces in their order, each with whether it is of a `{% generation %}` block."""
    return [(str(piece), isinstance(piece, Said)) for piece in _compiled(text).generate(**values) if piece]


@functools.cache
def _compiled(text: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    return environment.from_string(text)
