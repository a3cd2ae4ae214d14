"""Every file of config/ is valid, and every key in it explains itself."""

import json
import re
from pathlib import Path

import pytest

from abovo.config.load import KINDS, load, names, results_schema
from abovo.config.runs import Configuration
from abovo.evaluation.metrics import UNITS
from abovo.provenance.hashing import canonical_json
from abovo.settings.keys import build, plain, schema_of

CONFIG = Path("config")
FILES = [(kind, name) for kind in KINDS for name in names(kind, CONFIG)]
LEAF = re.compile(r"^\s*(?:- )?([A-Za-z_][\w-]*):\s*[^\s#]")


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_config_file_is_valid(kind, name):
    assert load(kind, name, CONFIG)


def test_names_are_small_letters_and_digits_joined_by_hyphens():
    """As in paths of results; an underscore is for keys, which are parts of Python, and for tasks, as lm-eval's are."""
    joined = {kind: "_" if kind == "evaluation/tasks" else "-" for kind in KINDS}
    wrong = [name for kind, name in FILES if not re.fullmatch(rf"[a-z0-9]+({joined[kind]}[a-z0-9]+)*", name)]
    assert wrong == []


@pytest.mark.parametrize("name", names("runs", CONFIG))
def test_run_resolves_with_all_its_parts(name):
    assert Configuration(CONFIG).any_run(name).name == name


@pytest.mark.parametrize("name", [name for kind, name in FILES if kind == "training" and "nano" in name])
def test_recipes_of_the_demonstration_prompt_nobody_else_with_its_text(name):
    assert load("training", name, CONFIG).samples.prompts == ()


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_key_has_a_comment_above_it(kind, name):
    """At its first appearance in the file; names that a user chooses (of sources, phases, data sets) need none."""
    above, explained, known = "", set(), set(keys_of(_schema(kind)))
    for line in (CONFIG / kind / f"{name}.yaml").read_text(encoding="utf-8").splitlines():
        found = LEAF.match(line)
        if found and above.strip().startswith("#"):
            explained.add(found[1])
        if found and found[1] in known:
            assert found[1] in explained, f"config/{kind}/{name}.yaml: {found[1]} has no comment above it"
        above = line


def test_schema_of_results_knows_what_the_items_of_every_kind_are():
    entry = results_schema(CONFIG)["$defs"]["metric"]["properties"]
    assert set(UNITS.values()) <= set(entry["unit"]["enum"])


def keys_of(schema):
    """Every property name that stands anywhere in a schema."""
    for key, value in schema.items():
        if isinstance(value, dict):
            yield from value if key == "properties" else ()
            yield from keys_of(value)


def _schema(kind):
    return schema_of(KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_settings_say_what_every_key_means(kind):
    def walk(schema, place):
        for key, part in schema.get("properties", {}).items():
            assert part.get("description"), f"{kind}: {place}{key} has no meaning"
            walk(part, f"{place}{key}.")
        for nested in ("items", "additionalProperties"):
            if isinstance(schema.get(nested), dict):
                walk(schema[nested], f"{place}{nested}.")

    schema = _schema(kind)
    assert schema["additionalProperties"] is False
    walk(schema, "")


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_settings_of_a_file_go_to_json_and_back(kind, name):
    settings = load(kind, name, CONFIG)
    assert build(type(settings), json.loads(canonical_json(plain(settings)))) == settings
