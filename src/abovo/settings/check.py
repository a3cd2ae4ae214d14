"""Turn a mapping and a JSON schema into the complete mapping, or into one line that names key, mistake and meaning."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from abovo.errors import AbovoError


def check(data: Any, schema: Mapping[str, Any], where: object) -> None:
    """Raise one line that names the offending key, what is wrong with it and what it means."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    error = best_match(Draft202012Validator(schema).iter_errors(data))
    if error is None:
        return
    path = list(error.absolute_path)
    key = ".".join(str(part) for part in path)
    what, named = _explain(error)
    meaning = _meaning(schema, [*path, *named])
    raise AbovoError(what, f"{where}, key {key}" if key else where, meaning)


def _explain(error: Any) -> tuple[str, list[str]]:
    """What is wrong in words, and the key that is meant, where it is none that was given."""
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = sorted(error.schema.get("properties", {}))
        unknown = sorted(set(error.instance) - set(known))
        close = difflib.get_close_matches(unknown[0], known, 1) if unknown else []
        hint = f" (did you mean {close[0]}?)" if close else f" (known: {', '.join(known)})"
        return f"unknown key {', '.join(unknown)}{hint}", close
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return f"{missing[0]!r} is a required property", missing[:1]
    return " ".join(error.message.split())[:300], []


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
    """Fill in the schema's defaults, and read numbers that YAML leaves as strings (1e8 has no dot, so it does)."""
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
    if isinstance(value, str) and {"integer", "number"} & set(types):
        try:
            value = float(value)
        except ValueError:
            return value
    if isinstance(value, float) and "integer" in types and "number" not in types and value.is_integer():
        return int(value)
    return value
