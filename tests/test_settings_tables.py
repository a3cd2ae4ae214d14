"""What a key may be called for is what its table can carry out: a new kind is one entry and one word."""

import importlib

import pytest

from abovo.config.engines import STRATEGIES
from abovo.settings.corpus import Decontaminate, Source
from abovo.settings.engine import Engine
from abovo.settings.evaluation import EvaluationSets
from abovo.settings.instruction import Instruction
from abovo.settings.keys import schema_of
from abovo.settings.model import Model
from abovo.settings.task import TaskSource
from abovo.settings.tokenizer import TokenizerSettings
from abovo.settings.training import Optimizer, Schedule

# (class, key, "module:TABLE")
CHOSEN = [
    (Engine, "kind", "abovo.training.engines:ENGINES"),
    (Optimizer, "kind", "abovo.training.optimizers:OPTIMIZERS"),
    (Optimizer, "weight_decay_schedule", "abovo.training.schedule:WEIGHT_DECAY"),
    (Schedule, "kind", "abovo.training.schedule:KINDS"),
    (Model, "residual_init", "abovo.modeling.build:RESIDUAL_INIT"),
    (TokenizerSettings, "model_type", "abovo.tokenizing.train:FINISH"),
    (Source, "kind", "abovo.corpus.clean:KINDS"),
    (Decontaminate, "action", "abovo.corpus.decontaminate:ACTIONS"),
    (TaskSource, "rows", "abovo.corpus.task_rows:RESHAPED"),
    (EvaluationSets, "facts", "abovo.facts.question:FACTS"),
    (Instruction, "facts", "abovo.facts.question:FACTS"),
    (Instruction, "format", "abovo.instruction.formats:FORMATS"),
]
# Words that stand for something without an entry: null, and questions that come from documents, not from records.
BESIDE = {"facts": {None}, "format": {"facts", "auto"}}
# Entries that no file can name: what a job makes of the schedules of its phases.
OWN = {"abovo.training.schedule:KINDS": {"phases"}}


@pytest.mark.parametrize(("settings", "name", "table"), CHOSEN, ids=[f"{c.__name__}.{n}" for c, n, _ in CHOSEN])
def test_words_of_a_key_are_the_entries_of_its_table(settings, name, table):
    module, _, attribute = table.partition(":")
    schema = schema_of(settings)["properties"][name]
    words = set(schema.get("enum") or schema["items"]["enum"]) - BESIDE.get(name, set())
    assert words == set(getattr(importlib.import_module(module), attribute)) - OWN.get(table, set())


def test_strategies_are_those_of_the_engines():
    known = {strategy for strategies in STRATEGIES.values() for strategy in strategies}
    assert set(schema_of(Engine)["properties"]["strategy"]["enum"]) == known
