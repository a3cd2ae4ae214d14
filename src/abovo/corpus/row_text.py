"""Turn a row and a template over its columns into text, in Jinja's sandbox.

A template is rendered as lm-eval renders it: what is undefined is an error, and a newline at the end stays. A word
alone is the name of a column.
"""

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from abovo.corpus.records import Row, known
from abovo.errors import AbovoError

# What a template can raise besides Jinja's own errors: the columns of a row hold what a file says.
FAULTS = (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def text_of(template: str, row: Row, key: str, **more: Any) -> str:
    """The text that a template gives for a row; `key` is the task's, for errors, `more` are values beside the columns.

    Raises AbovoError with the row's place for a column that it does not have, and for a value that is no text.
    """
    if template in row.values:
        return as_text(row.values[template], row, key, template)
    text = f"{{{{{template}}}}}" if template.isidentifier() else template
    return str(_guarded(lambda: _template(text).render(_values(row, more)), row, key))


def value_of(expression: str, row: Row, key: str, **more: Any) -> Any:
    """What an expression gives for a row: a text, a number, a list. Raises AbovoError as `text_of` does."""
    if expression in row.values:
        return row.values[expression]

    def evaluate() -> Any:
        found = _expression(expression)(_values(row, more))
        if isinstance(found, Undefined):
            str(found)  # which says what is not defined
        return found

    return _guarded(evaluate, row, key)


def as_text(value: Any, row: Row, key: str, column: str = "") -> str:
    """A value as text: numbers are written out, anything else that is no text is an error."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    named = f"column {column!r} holds" if column else "gives"
    what = "nothing (null)" if value is None else f"{type(value).__name__}, not text"
    raise AbovoError(f"{named} {what}", row.where, f"mend the row, or `{key}` of the task")


def check_template(text: str, *, expression: bool = False) -> str:
    """What is wrong with a template or an expression before any row is seen; "" where nothing is."""
    try:
        _expression(text) if expression else _template(text)
    except TemplateError as error:
        return str(error.message or type(error).__name__)
    return ""


def _guarded(make: Callable[[], Any], row: Row, key: str) -> Any:
    try:
        return make()
    except FAULTS as error:
        said = " ".join(str(error).split())[:160] or type(error).__name__
        missing = re.fullmatch("'([^']+)' is undefined", said)
        what = f"no column {missing[1]!r}" if missing else f"cannot be rendered ({said})"
        raise AbovoError(f"{what} ({known(row.values)})", row.where, f"mend `{key}` of the task") from None


def _values(row: Row, more: Mapping[str, Any]) -> dict[str, Any]:
    return {"row": row.values, **row.values, **more}


@functools.cache
def _template(text: str) -> Template:
    return _environment().from_string(text)


@functools.cache
def _expression(text: str) -> Callable[[Mapping[str, Any]], Any]:
    return _environment().compile_expression(text, undefined_to_none=False)


@functools.cache
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, keep_trailing_newline=True, finalize=_printable
    )
    environment.filters |= FILTERS
    return environment


def _printable(value: Any) -> Any:
    """What a template may write: texts, numbers, true and false. No prompt has Python's words for anything else."""
    if value is None or not isinstance(value, str | int | float | Undefined):
        raise TypeError("a value is null" if value is None else f"a value is of type {type(value).__name__}, not text")
    return value


def without_brackets(text: str) -> str:
    """A text of HellaSwag as it is scored: marks of titles become the end of a sentence, other marks go."""
    text = text.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", text).replace("  ", " ")


# WikiText's tokens as lm-eval joins them again, in this order: texts ...
PUNCTUATION = [
    ("s '", "s'"), ("/' [0-9]/", "/'[0-9]/"), (" @-@ ", "-"), (" @,@ ", ","), (" @.@ ", "."), (" : ", ": "),
    (" ; ", "; "), (" . ", ". "), (" ! ", "! "), (" ? ", "? "), (" , ", ", "),
]  # fmt: skip
# ... then blanks inside of these pairs ...
PAIRS = [("(", ")"), ("[", "]"), ("{", "}"), ('"', '"'), ("'", "'")]
# ... then texts again.
HEADINGS = [
    ("= = = =", "===="), ("= = =", "==="), ("= =", "=="), (" ° ", "°"), (" \n", "\n"), ("\n ", "\n"), (" N ", " 1 "),
    (" 's", "'s"),
]  # fmt: skip


def detokenized(text: str) -> str:
    """An article of WikiText without the blanks that its tokens were parted by, as lm-eval's wikitext has it."""
    for old, new in PUNCTUATION:
        # the one pattern among them has never matched a digit's place but its own words
        text = re.sub(old, new, text) if "[0-9]" in old else text.replace(old, new)
    for left, right in PAIRS:
        text = re.sub(rf"\{left}\s*([^\{right}]*?)\s*\{right}", rf"{left}\1{right}", text)
    for old, new in HEADINGS:
        text = text.replace(old, new)
    return text


# Filters that templates may use besides Jinja's own, or in place of them.
FILTERS: dict[str, Callable[[Any], Any]] = {
    "without_brackets": without_brackets,
    "detokenized": detokenized,
    "int": int,  # Jinja's own takes what is no number for 0
}
