"""Turn one file of config/ into a dictionary that its schema has checked and filled with defaults."""

import difflib
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from abovo.errors import AbovoError

KINDS = (
    "runs", "models", "corpora", "tokenizers", "training", "sft", "instruction", "evaluation", "engines", "hardware",
    "decontamination",
)  # fmt: skip
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def names(kind: str, root: Path) -> list[str]:
    """The names that config/{kind}/ offers, sorted."""
    return sorted(path.stem for path in (root / kind).glob("*.yaml"))


def load(kind: str, name: str, root: Path, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Read config/{kind}/{name}.yaml, lay `values` (dotted keys) over it, check it and fill in defaults.

    Raises AbovoError naming file and key for an unknown name, an unknown key, a wrong type or a value out of range.
    """
    path = root / kind / f"{name}.yaml"
    if not path.is_file():
        known = names(kind, root)
        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known) or 'none'}"
        raise AbovoError(f"there is no {name!r} in {root / kind}", "config", hint)
    schema = read_schema(kind, root)
    data = _read_yaml(path)
    for key, value in (values or {}).items():
        _set(data, key, value, path)
    data = complete(data, schema)
    check(data, schema, path)
    return data


@functools.cache
def read_schema(kind: str, root: Path) -> dict[str, Any]:
    return _read_yaml(root / "schemas" / f"{kind}.schema.yaml")


def check(data: Any, schema: Mapping[str, Any], where: object) -> None:
    """Raise one line that names the offending key and what it should hold."""
    error = best_match(Draft202012Validator(schema).iter_errors(data))
    if error is None:
        return
    key = ".".join(str(part) for part in error.absolute_path)
    raise AbovoError(
        _explain(error), f"{where}, key {key}" if key else where, "see the schema's description of the key"
    )


def _explain(error: ValidationError) -> str:
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        schema = error.schema if isinstance(error.schema, dict) else {}
        known = sorted(schema.get("properties", {}))
        unknown = sorted(set(error.instance) - set(known))
        close = difflib.get_close_matches(unknown[0], known, 1) if unknown else []
        hint = f" (did you mean {close[0]}?)" if close else f" (known: {', '.join(known)})"
        return f"unknown key {', '.join(unknown)}{hint}"
    return " ".join(error.message.split())[:300]


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)
    except FileNotFoundError:
        raise AbovoError("the file does not exist", path, "restore it from the repository") from None
    except yaml.YAMLError as error:
        raise AbovoError(f"not valid YAML: {error}", path, "mend the line that it names") from None
    if not isinstance(data, dict):
        raise AbovoError("holds no keys", path, "write `key: value` lines")
    return data


def _set(data: dict[str, Any], dotted: str, value: Any, path: Path) -> None:
    *folders, last = dotted.split(".")
    for part in folders:
        data = data.setdefault(part, {})
        if not isinstance(data, dict):
            raise AbovoError(f"{part} holds a value, not keys", f"{path}, key {dotted}", "check the key's name")
    data[last] = value


def complete(value: Any, schema: Mapping[str, Any]) -> Any:
    """Fill in the schema's defaults, and read numbers that YAML leaves as strings (1e8 has no dot, so it does)."""
    if isinstance(value, dict):
        known = schema.get("properties", {})
        other = schema.get("additionalProperties")
        done = {
            key: complete(item, known.get(key, other if isinstance(other, dict) else {})) for key, item in value.items()
        }
        for key, part in known.items():
            if key not in done and "default" in part:
                done[key] = complete(part["default"], part)
        return done
    if isinstance(value, list):
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
