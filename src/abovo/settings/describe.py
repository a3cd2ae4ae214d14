"""Turn a settings class into lines that say what its keys mean, which are required, and the defaults of the others."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from abovo.settings.keys import schema_of


def key_lines(kind: type) -> Iterator[str]:
    """`key (required | default): meaning` for each key of a class, those of its parts with dots."""
    yield from _lines(schema_of(kind), "")


def _lines(schema: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, about in schema.get("properties", {}).items():
        needed = name in schema.get("required", ())
        default = json.dumps(about["default"], ensure_ascii=False) if "default" in about else "none"
        stand = "required" if needed else f"default: {default}"
        one_of = f" One of {', '.join(map(str, about['enum']))}." if "enum" in about else ""
        yield f"{prefix}{name} ({stand}): {about.get('description', '')}{one_of}"
        for inner, place in _inside(about):
            yield from _lines(inner, f"{prefix}{name}.{place}")


def _inside(about: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The parts in a key: a mapping of its own, the entries of one by name, or those of a list."""
    for one in (about, *about.get("anyOf", ())):
        if one.get("properties"):
            yield one, ""
        for key, place in (("additionalProperties", "NAME."), ("items", "")):
            if isinstance(one.get(key), Mapping) and one[key].get("properties"):
                yield one[key], place
