"""Turn a chat template's Jinja text into the text of a conversation, as transformers renders it, in Jinja's sandbox."""

import functools
import json
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

from abovo.errors import AbovoError, first_line


class Said(str):
    """Text of a `{% generation %}` block."""


class Refused(Exception):
    """A template cannot write a conversation: its own `raise_exception`, or an error of its code."""


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
    """The rendered pieces in their order, each with whether it is of a `{% generation %}` block.

    Raises Refused where the template cannot write what it is given.
    """
    try:
        return [(str(piece), isinstance(piece, Said)) for piece in _compiled(text).generate(**values) if piece]
    except (TemplateError, TypeError, KeyError, ValueError, ArithmeticError) as error:
        raise Refused(first_line(error)) from None


def check_text(text: str, where: str) -> None:
    """Raise AbovoError for a text that is no Jinja."""
    try:
        _compiled(text)
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        at = f"{where}, line {line}" if line else where
        raise AbovoError(f"is no Jinja template ({first_line(error)})", at, "mend it") from None


@functools.cache
def _compiled(text: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    # as transformers has them; but for the date of today, which would make other bytes every day
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _refuse
    return environment.from_string(text)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **more: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **more)
