"""Turn docstrings, one document per function or class, into questions about purpose, signature and package.

A document reads `numpy.linalg.norm(x, ord=None, axis=None)`, a blank line, the docstring; its id is
`numpy/numpy.linalg.norm`.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from abovo.corpus.docstrings import UNREADABLE, written
from abovo.corpus.shards import Document
from abovo.facts.fact import NO, YES, Fact
from abovo.facts.lots import number, pick

OBJECT = re.compile(r"([^/]+)/([A-Za-z_]\w*(?:\.\w+)+)")
SUMMARY_CHARACTERS = range(15, 201)
SIGNATURE_CHARACTERS = 160


@dataclass(frozen=True)
class Function:
    """What a document says of one function or class; `parameters` holds (name, default or None) without self."""

    package: str
    name: str
    signature: str
    parameters: tuple[tuple[str, str | None], ...]
    summary: str

    @property
    def short_name(self) -> str:
        return self.name.rpartition(".")[2]


def function_facts(documents: Iterable[Document], per_document: int) -> Iterator[Fact]:
    """Up to `per_document` facts per docstring, each of another template.

    Wrong packages and parameters in yes/no questions are those of functions met before: they come from the same
    distribution as the right ones, so a name alone gives no answer away.
    """
    others: dict[str, Function] = {}
    for document in documents:
        function = read_function(document)
        if function is None:
            continue
        other = next((item for item in others.values() if item.package != function.package), None)
        made = 0
        for template in sorted(TEMPLATES, key=lambda template: number(document.id, template.__name__)):
            fact = template(document, function, other)
            if fact is not None and made < per_document:
                made += 1
                yield fact
        # Two are kept, of different packages, so that there is always one of another package than the next.
        others.pop(function.package, None)
        others = {**dict(list(others.items())[-1:]), function.package: function}


def _purpose(document: Document, function: Function, other: Function | None) -> Fact | None:
    if not function.summary:
        return None
    return Fact(document, f"What does {function.name} do?", function.summary, "summary", function.summary)


def _parameters(document: Document, function: Function, other: Function | None) -> Fact | None:
    if len(function.signature) > SIGNATURE_CHARACTERS or len(function.parameters) < 2:
        return None
    *names, last = (name for name, _ in function.parameters)
    return Fact(document, f"Which parameters does {function.signature} take?", f"{', '.join(names)} and {last}.")


def _default(document: Document, function: Function, other: Function | None) -> Fact | None:
    defaults = [(name, value) for name, value in function.parameters if value is not None and len(value) < 30]
    if len(function.signature) > SIGNATURE_CHARACTERS or not defaults:
        return None
    name, value = pick(defaults, "default", document.id)
    return Fact(document, f"What is the default of {name} in {function.signature}?", f"{value}.")


def _package(document: Document, function: Function, other: Function | None) -> Fact | None:
    if other is None:
        return None
    true = bool(number("package", document.id) & 1)
    package = function.package if true else other.package
    return Fact(document, f"Is {function.short_name} part of the package {package}?", YES if true else NO)


def _has_parameter(document: Document, function: Function, other: Function | None) -> Fact | None:
    own = [name for name, _ in function.parameters]
    foreign = [name for name, _ in other.parameters if name not in own] if other else []
    if not own or not foreign:
        return None
    true = bool(number("parameter", document.id) & 1)
    name = pick(own if true else foreign, "parameter name", document.id)
    return Fact(document, f"Does {function.name} take a parameter named {name}?", YES if true else NO)


TEMPLATES = (_purpose, _parameters, _default, _package, _has_parameter)


def read_function(document: Document) -> Function | None:
    """The function that a document describes; None for any other document."""
    match = OBJECT.fullmatch(document.id)
    if not match or not document.text.startswith(match[2]):
        return None
    signature, _, docstring = document.text.partition("\n\n")
    signature = " ".join(signature.split())
    return Function(match[1], match[2], signature, _parse(signature[len(match[2]) :]), summary_of(docstring))


def _parse(arguments: str) -> tuple[tuple[str, str | None], ...]:
    """The parameters of `(x, ord=None)`; none where there are no parentheses or they are not Python."""
    try:
        node = ast.parse(f"def _{arguments or '()'}: pass").body[0]
    except UNREADABLE:
        return ()
    if not isinstance(node, ast.FunctionDef):
        return ()
    positional = [*node.args.posonlyargs, *node.args.args]
    unset: list[ast.expr | None] = [None] * (len(positional) - len(node.args.defaults))
    pairs = [
        *zip(positional, [*unset, *node.args.defaults], strict=True),
        *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True),
    ]
    return tuple(
        (argument.arg, written(default) if default else None)
        for argument, default in pairs
        if argument.arg not in ("self", "cls")
    )


def summary_of(docstring: str) -> str:
    """The first sentence of a docstring on one line, or nothing where that is no sentence of a usable length."""
    paragraph = " ".join(docstring.strip().partition("\n\n")[0].split())
    sentence = re.split(r"(?<=[a-z0-9)`'\"][.])\s+(?=[A-Z`])", paragraph)[0]
    usable = len(sentence) in SUMMARY_CHARACTERS and sentence.endswith(".") and sentence[0].isupper()
    return sentence if usable else ""
