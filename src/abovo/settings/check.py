"""Turn a mapping and a JSON schema into the complete mapping, or into one line that names key, mistake and meaning."""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from abovo.errors import AbovoError

# A path of keys and places in lists, and what says who gave the value there: a file and its line, or the command line.
Keys = Sequence[str | int]
Where = Callable[[Keys], str]
# What a message quotes at most of a value (characters).
QUOTED = 200


def check(data: Any, schema: Mapping[str, Any], where: object | Where) -> None:
    """Raise one line that names the offending key, what is wrong with it and what it means."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    if (odd := _not_finite(data)) is not None:
        raise AbovoError("is not a finite number", at(where, odd), _meaning(schema, odd))
    error = best_match(Draft202012Validator(schema).iter_errors(data))
    if error is None:
        return
    path = list(error.absolute_path)
    what, given, meant = _explain(error)
    meaning = _meaning(schema, [*path, *meant])
    raise AbovoError(what, at(where, [*path, *given], path), meaning)


def at(where: object | Where, given: Keys, named: Keys | None = None) -> str:
    """The place of a value in words; `named` are the keys that are told where `where` only is a name."""
    if callable(where):
        return where(given)
    named = given if named is None else named
    return f"{where}, key {dotted(named)}" if named else str(where)


def dotted(keys: Keys) -> str:
    return ".".join(map(str, keys))


def _not_finite(value: Any, path: tuple[str | int, ...] = ()) -> tuple[str | int, ...] | None:
    """Where the first number stands that is infinite or none; JSON schemas let it through any bound."""
    if isinstance(value, float):
        return None if math.isfinite(value) else path
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    return next((odd for key, item in items if (odd := _not_finite(item, (*path, key))) is not None), None)


def _explain(error: Any) -> tuple[str, list[str], list[str]]:
    """What is wrong in words, the unknown key that was given, and the key that is meant where it is none of those."""
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = sorted(error.schema.get("properties", {}))
        unknown = sorted(set(error.instance) - set(known))
        close = difflib.get_close_matches(unknown[0], known, 1) if unknown else []
        hint = f" (did you mean {close[0]}?)" if close else f" (known: {', '.join(known)})"
        return f"unknown key {', '.join(unknown)[:QUOTED]}{hint}", unknown[:1], close
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return f"{missing[0]!r} is a required property", [], missing[:1]
    if error.validator == "type":
        return f"{_quoted(error.instance)} is not of type {_types(error)}", [], []
    said = " ".join(error.message.split())
    return (said if len(said) <= 2 * QUOTED else f"{said[:QUOTED]} ... {said[-QUOTED:]}"), [], []


def _types(error: Any) -> str:
    types = [error.validator_value] if isinstance(error.validator_value, str) else error.validator_value
    words = ", ".join(map(repr, types))
    if "boolean" in types and isinstance(error.instance, str):
        return f"{words} (true or false)"
    return f"{words} (quote it)" if "string" in types and isinstance(error.instance, bool | int | float) else words


def _quoted(value: Any) -> str:
    words = repr(value)
    return words if len(words) <= QUOTED else f"{words[:QUOTED]} ..."


def _meaning(schema: Mapping[str, Any], path: Iterable[str | int]) -> str:
    """KEY: MEANING of the innermost key on a path; items of a list or mapping have the meaning of the whole."""
    meaning = ""
    for part in path:
        inner = schema.get("properties", {}).get(part) or schema.get("items") or schema.get("additionalProperties")
        if not isinstance(inner, Mapping):
            break
        schema = inner
        meaning = f"{part}: {schema['description']}" if "description" in schema else meaning
    return meaning


def complete(value: Any, schema: Mapping[str, Any]) -> Any:
    """Fill in the schema's defaults, and make whole numbers of those written with a point or an exponent (1e8)."""
    if isinstance(value, Mapping):
        known = schema.get("properties", {})
        other = schema.get("additionalProperties")
        done = {
            key: complete(item, known.get(key, other if isinstance(other, dict) else {})) for key, item in value.items()
        }
        for key, part in known.items():
            if key not in done and "default" in part:
                done[key] = complete(part["default"], part)
        return done
    if isinstance(value, list | tuple):
        return [complete(item, schema.get("items", {})) for item in value]
    types = schema.get("type", ())
    types = (types,) if isinstance(types, str) else types
    if isinstance(value, float) and "integer" in types and "number" not in types and value.is_integer():
        return int(value)
    return value
