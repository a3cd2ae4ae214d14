"""Turn a frozen dataclass whose fields are made by `key` into a JSON schema, and mappings into its instances.

    @dataclass(frozen=True, kw_only=True)
    class Lora:
        \"\"\"Low-rank adapters.\"\"\"

        rank: int = key("Rank of the adapters (r)", minimum=1)
        dropout: float = key("Dropout before the adapters", default=0.05, minimum=0, below=1)

A field without a default must be given. Types are int, float, str, bool, Any, Literal[...], another such dataclass,
tuple[X, ...], tuple[X, X], Mapping[str, X], and unions of them with one another and None.
"""

import dataclasses
import functools
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from abovo.settings.check import Where, check, complete

Settings = TypeVar("Settings")
MISSING = dataclasses.MISSING
SCALARS = {int: "integer", float: "number", str: "string", bool: "boolean", types.NoneType: "null"}
# No number of a config file goes beyond these, so that nothing overflows: whole ones fit into 64 bits and into JSON.
LARGEST, HUGE = 10**15, 1e30
# How the bounds of a key are called in a schema: those of its values, or of the items of a list or mapping ...
OF_VALUES = {
    "minimum": "minimum", "above": "exclusiveMinimum", "maximum": "maximum", "below": "exclusiveMaximum",
    "multiple_of": "multipleOf", "pattern": "pattern", "min_length": "minLength",
}  # fmt: skip
# ... and those of the list or mapping itself.
OF_LISTS = {"min_items": "minItems", "unique": "uniqueItems"}
OF_MAPPINGS = {"min_items": "minProperties", "names": "propertyNames"}


def key(
    meaning: str,
    *,
    default: Any = MISSING,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    below: float | None = None,
    multiple_of: int | None = None,
    pattern: str | None = None,
    min_length: int | None = None,
    min_items: int | None = None,
    unique: bool | None = None,
    names: str | None = None,
    refers: str | None = None,
    decides: bool = True,
) -> Any:
    """A field of a settings class: what it means (with its unit), its default and its bounds.

    Bounds of numbers and texts (`above` and `below` are exclusive, `pattern` is a regular expression) hold for the
    items of a list and the values of a mapping too. `min_items` and `unique` are of the list or mapping itself, `names`
    is a pattern for the keys of a mapping. A key that `decides` nothing of what is kept is for people and displays. One
    that `refers` to a folder of config/ holds the name of a file there, or a mapping by such names.

    A number has bounds always: what is not given is LARGEST, for whole numbers, or HUGE.
    """
    given = {
        "minimum": minimum, "above": above, "maximum": maximum, "below": below, "multiple_of": multiple_of,
        "pattern": pattern, "min_length": min_length, "min_items": min_items, "unique": unique, "names": names,
    }  # fmt: skip
    bounds = {name: value for name, value in given.items() if value is not None}
    metadata = {"meaning": meaning, "bounds": bounds, "decides": decides, "refers": refers}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@functools.cache
def schema_of(settings: type) -> dict[str, Any]:
    """The JSON schema (2020-12) of a settings class; its description is the first line of the docstring."""
    hints = _hints(settings)
    fields = dataclasses.fields(settings)
    schema: dict[str, Any] = {
        "description": (settings.__doc__ or "").partition("\n")[0],
        "type": "object",
        "additionalProperties": False,
    }
    required = [one.name for one in fields if not _has_default(one)]
    if required:
        schema["required"] = required
    schema["properties"] = {one.name: _property(one, hints[one.name]) for one in fields}
    return schema


def build(settings: type[Settings], mapping: Mapping[str, Any], where: object | Where = "settings") -> Settings:
    """The settings that a mapping describes, checked and with defaults filled in at every depth.

    Raises AbovoError with `where` and the key, or with what `where` says of the key, for an unknown or missing key, a
    wrong type or a value out of range.
    """
    schema = schema_of(settings)  # type: ignore[arg-type]
    data = complete(dict(mapping), schema)
    check(data, schema, where)
    return _value(settings, data)


def references(settings: Any, before: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """(keys, folder of config/, name) of each file that settings name, at any depth."""
    if isinstance(settings, list | tuple):
        for number, item in enumerate(settings):
            yield from references(item, (*before, number))
    elif isinstance(settings, Mapping):
        for name, item in settings.items():
            yield from references(item, (*before, name))
    elif dataclasses.is_dataclass(settings):
        for one in dataclasses.fields(settings):
            value, kind = getattr(settings, one.name), one.metadata.get("refers")
            if kind and value is not None:
                for name in (value,) if isinstance(value, str) else value:
                    yield (*before, one.name, *(() if isinstance(value, str) else (name,))), kind, name
            else:
                yield from references(value, (*before, one.name))


def narrow(settings: type[Settings], wide: Any, **more: Any) -> Settings:
    """Settings of a class from wider ones, which have keys of the same names; `more` are those that have other values.

    Only what `wide` holds is taken over, so a key that neither has keeps its default.
    """
    names = [one.name for one in dataclasses.fields(settings) if hasattr(wide, one.name)]  # type: ignore[arg-type]
    return settings(**{name: getattr(wide, name) for name in names} | more)


def plain(settings: Any) -> Any:
    """Settings as JSON knows them, of which `build` makes equal settings again."""
    return _plain(settings, lambda _: True)


def decisive(settings: Any) -> Any:
    """Settings as JSON without the keys that decide nothing, at any depth: what belongs into a fingerprint."""
    return _plain(settings, lambda field: field.metadata.get("decides", True))


def _plain(settings: Any, wanted: Callable[["dataclasses.Field[Any]"], bool]) -> Any:
    if dataclasses.is_dataclass(settings):
        return {
            one.name: _plain(getattr(settings, one.name), wanted) for one in dataclasses.fields(settings) if wanted(one)
        }
    if isinstance(settings, Mapping):
        return {name: _plain(value, wanted) for name, value in settings.items()}
    if isinstance(settings, list | tuple):
        return [_plain(value, wanted) for value in settings]
    return settings


@functools.cache
def _hints(settings: Any) -> dict[str, Any]:
    return get_type_hints(settings)


def _has_default(field: "dataclasses.Field[Any]") -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _property(field: "dataclasses.Field[Any]", kind: Any) -> dict[str, Any]:
    """The schema of one field: its type's with the bounds of its key, its default and its meaning."""
    schema = _of_type(kind)
    inner = schema.get("items", schema.get("additionalProperties"))
    values = inner if isinstance(inner, dict) else schema
    whole = OF_LISTS if "items" in schema else OF_MAPPINGS
    given = field.metadata.get("bounds", {})
    types = values.get("type", ())
    if "integer" in types or "number" in types:
        largest = HUGE if "number" in types else LARGEST
        given = ({} if "above" in given else {"minimum": -largest}) | given
        given = ({} if "below" in given else {"maximum": largest}) | given
    for name, bound in given.items():
        if name in OF_VALUES:
            values[OF_VALUES[name]] = bound
        else:
            schema[whole[name]] = {"pattern": bound} if name == "names" else bound
    if _has_default(field):
        factory = field.default_factory
        default = field.default if factory is MISSING else factory()
        # a part that may be left out is all its own defaults
        schema["default"] = {} if dataclasses.is_dataclass(default) else plain(default)
    schema["description"] = field.metadata.get("meaning", "")
    return schema


def _of_type(kind: Any) -> dict[str, Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return {}
    if kind in SCALARS:
        return {"type": SCALARS[kind]}
    if dataclasses.is_dataclass(kind):
        return dict(schema_of(kind))  # type: ignore[arg-type]
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        items = {"type": "array", "items": _of_type(arguments[0])}
        fixed = {} if arguments[-1] is ... else {"minItems": len(arguments), "maxItems": len(arguments)}
        return items | fixed
    if origin is Mapping:
        values = _of_type(arguments[1])
        return {"type": "object"} | ({"additionalProperties": values} if values else {})
    if origin in (Union, types.UnionType):
        return _of_union([_of_type(member) for member in arguments])
    raise TypeError(f"a key cannot be of type {kind}")


def _of_union(members: list[dict[str, Any]]) -> dict[str, Any]:
    """One schema for all members, whose JSON types differ; words beside other types become a pattern."""
    words = [word for member in members for word in member.get("enum", ())]
    others = [member for member in members if "enum" not in member]
    if words and all(member == {"type": "null"} for member in others):
        return {"enum": [*words, *([None] if others else [])]}
    merged = {name: value for member in others for name, value in member.items()}
    if words:
        merged["pattern"] = f"^{words[0]}$" if len(words) == 1 else f"^({'|'.join(words)})$"
    merged["type"] = [member["type"] for member in others] + (["string"] if words else [])
    return merged


def _value(kind: Any, data: Any) -> Any:
    """Checked JSON as the type that it was checked for."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        kind = next((member for member in arguments if _takes(member, data)), Any)
        origin, arguments = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        hints = _hints(kind)  # type: ignore[arg-type]
        return kind(**{name: _value(hints[name], value) for name, value in data.items()})  # type: ignore[operator]
    if origin is tuple:
        kinds = arguments[:1] * len(data) if arguments[-1] is ... else arguments
        return tuple(_value(one, value) for one, value in zip(kinds, data, strict=True))
    if origin is Mapping:
        return {name: _value(arguments[1], value) for name, value in data.items()}
    return data


def _takes(kind: Any, data: Any) -> bool:
    """Whether a member of a union is the one for a mapping or a list; for other values, no member changes them."""
    if isinstance(data, dict):
        return dataclasses.is_dataclass(kind) or get_origin(kind) is Mapping
    return isinstance(data, list) and get_origin(kind) is tuple
