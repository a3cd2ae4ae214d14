"""A settings class is a schema, a check with errors in words, and the values themselves."""

from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass
from typing import Any, Literal

import pytest
from jsonschema import Draft202012Validator

from abovo.errors import AbovoError
from abovo.settings.keys import build, key, plain, schema_of


@dataclass(frozen=True, kw_only=True)
class Oven:
    """Where it is baked."""

    degrees: int = key("Heat (degrees Celsius)", default=180, minimum=50, maximum=300)
    kind: Literal["gas", "electric"] | None = key("What heats it; null for a fire", default=None)


@dataclass(frozen=True, kw_only=True)
class Cake:
    """What is baked.

    More about it.
    """

    name: str = key("What it is called", pattern="^[a-z]+$")
    minutes: float | Literal["auto"] = key("Time in the oven (minutes); auto: by weight", default="auto", above=0)
    weights: Mapping[str, float] = key("Weight of each part (kg)", above=0, min_items=1, names="^[a-z]+$")
    layers: tuple[str, ...] = key("Layers from below", default=(), min_length=1)
    size: tuple[float, float] = key("Length and width (cm)", default=(20, 30), minimum=1)
    shops: str | tuple[str, ...] = key("Where it is sold", default=())
    oven: Oven = key("Where it is baked", default=Oven())
    second: Oven | None = key("Where it is baked again; null for nowhere", default=None)
    ovens: Mapping[str, Oven] = key("Ovens by name", default={})
    notes: Mapping[str, Any] = key("Whatever else", default={})


def test_schema_says_what_the_class_says():
    schema = schema_of(Cake)
    Draft202012Validator.check_schema(schema)
    assert schema["description"] == "What is baked."
    assert schema["required"] == ["name", "weights"]
    assert schema["additionalProperties"] is False
    keys = schema["properties"]
    assert keys["minutes"] == {
        "type": ["number", "string"], "exclusiveMinimum": 0, "maximum": 1e30, "pattern": "^auto$", "default": "auto",
        "description": "Time in the oven (minutes); auto: by weight",
    }  # fmt: skip
    assert keys["weights"] == {
        "type": "object", "minProperties": 1, "propertyNames": {"pattern": "^[a-z]+$"},
        "additionalProperties": {"type": "number", "exclusiveMinimum": 0, "maximum": 1e30},
        "description": "Weight of each part (kg)",
    }  # fmt: skip
    assert keys["size"]["minItems"] == keys["size"]["maxItems"] == 2
    assert keys["shops"]["type"] == ["string", "array"]
    assert keys["oven"]["default"] == {}
    assert keys["oven"]["properties"]["kind"]["enum"] == ["gas", "electric", None]
    assert keys["second"]["type"] == ["object", "null"]
    assert keys["notes"] == {"type": "object", "default": {}, "description": "Whatever else"}


def test_values_are_complete_typed_and_frozen():
    given = {"name": "tart", "weights": {"flour": 1e-1}, "layers": ["dough"], "ovens": {"old": {"degrees": 2e2}}}
    cake = build(Cake, given)
    assert cake.weights == {"flour": 0.1}
    assert cake.layers == ("dough",)
    assert cake.oven == Oven(degrees=180, kind=None)
    assert cake.second is None
    assert cake.ovens["old"] == Oven(degrees=200)
    assert isinstance(cake.ovens["old"].degrees, int)
    assert build(Cake, {**given, "second": {}}).second == Oven()
    assert build(Cake, {**given, "shops": ["here", "there"]}).shops == ("here", "there")
    with pytest.raises(FrozenInstanceError):
        cake.name = "pie"


def test_plain_settings_build_equal_settings_again():
    cake = build(Cake, {"name": "tart", "weights": {"flour": 1}, "notes": {"a": [1, {"b": None}]}, "second": {}})
    assert build(Cake, plain(cake)) == cake
    assert plain(build(Cake, plain(cake))) == plain(cake)
    assert plain(cake)["size"] == [20, 30]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"nam": "x"}, "cake: unknown key nam (did you mean name?); name: What it is called"),
        ({"name": "Tart"}, "cake, key name: 'Tart' does not match '^[a-z]+$'; name: What it is called"),
        ({"oven": {"degrees": 20}}, "cake, key oven.degrees: 20 is less than the minimum of 50; degrees: Heat ("),
        ({"ovens": {"old": {"kind": "coal"}}}, "cake, key ovens.old.kind: 'coal' is not one of ['gas', 'electric', No"),
        ({"weights": {"flour": 0}}, "cake, key weights.flour: 0 is less than or equal to the minimum of 0; weights: W"),
        ({"size": [1]}, "cake, key size: [1] is too short; size: Length and width (cm)"),
        ({"layers": [""]}, "cake, key layers.0: '' should be non-empty; layers: Layers from below"),
    ],
)  # fmt: skip
def test_mistake_is_one_line_with_the_meaning_of_the_key(values, words):
    with pytest.raises(AbovoError) as error:
        build(Cake, {"name": "tart", "weights": {"flour": 1}} | values, "cake")
    assert str(error.value).startswith(words)


def test_missing_key_is_told_with_its_meaning():
    with pytest.raises(AbovoError, match="cake: 'weights' is a required property; weights: Weight of each part"):
        build(Cake, {"name": "tart"}, "cake")


def test_type_that_json_does_not_know_is_refused():
    @dataclass(frozen=True, kw_only=True)
    class Odd:
        """Odd."""

        when: complex = key("When")

    with pytest.raises(TypeError, match="complex"):
        schema_of(Odd)
