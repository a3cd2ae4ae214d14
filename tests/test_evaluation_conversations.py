"""Held-out conversations are scored as they would be alone, and the form of answers is told as it is."""

import math

import pytest
import small_world as world
import torch
from rounding import PROMISED
from small_world import IM_END, IM_START

from abovo.evaluation.assemble import assemble_evaluation
from abovo.evaluation.bench import Given
from abovo.evaluation.conversations import Talk, talks_of
from abovo.evaluation.evaluate import evaluate_task
from abovo.evaluation.evidence import read_evidence
from abovo.instruction.prepare import prepare_instruction
from abovo.modeling.family import open_model
from abovo.packing.bins import LEARNED, open_mask
from abovo.settings.instruction import Instruction
from abovo.settings.stages import TaskJob
from abovo.tokenizing.load import load_tokenizer

SETTINGS = TaskJob(task="conversations", kind="conversations", family="qwen3", new_tokens=4, conversations=40, seed=1)
FACTS = Instruction(format="facts", corpus="small", facts="functions", facts_per_document=2, sequence_length=128)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    corpus = world.make_corpus(folder)
    tokenizer = world.make_tokenizer(folder, corpus)
    packed = world.make_packed(folder, corpus, tokenizer, 128)
    facts = prepare_instruction(
        tokenizer, corpus, FACTS, folder / "instruction/facts/small/manifest.json", world.SCRIPT
    )
    return {"facts": facts, "base": world.make_model(folder, "pretrain", tokenizer, packed),
            "tokenizer": load_tokenizer(tokenizer)}  # fmt: skip


@pytest.fixture(scope="module")
def scored(small):
    output = small["base"].path.parent / "evaluation/conversations.json"
    return evaluate_task(small["base"], Given(conversations={"facts": small["facts"]}), SETTINGS, output, world.SCRIPT)


def test_conversations_are_those_that_were_packed(small):
    talks = list(talks_of(small["facts"]))
    assert len(talks) == small["facts"]["counts"]["val"]["conversations"]
    learned = int((open_mask(small["facts"], "val") & LEARNED != 0).sum())
    assert sum(len(answer.scored) for talk in talks for answer in talk.answers) == learned
    for talk in talks:
        assert talk.ids[0] == IM_START and talk.ids[-1] == IM_END
        (answer,) = talk.answers
        assert answer.context + answer.scored == talk.ids
        assert small["tokenizer"].decode(answer.context).endswith("assistant\n")


def test_each_answer_of_several_is_scored_after_all_before_it():
    talk = Talk((5, 6, 7, 8, 9, 5, 7), (False, False, True, True, False, False, True))
    assert [(one.context, one.scored) for one in talk.answers] == [((5, 6), (7, 8)), ((5, 6, 7, 8, 9, 5), (7,))]


def test_perplexity_is_that_of_each_conversation_alone(small, scored):
    model = open_model(small["base"].path.parent / "model").eval()
    chosen = {row["prompt"] for row in read_evidence(scored)["conversations.facts"]}
    assert len(chosen) == SETTINGS.conversations
    nats = tokens = 0
    for talk in talks_of(small["facts"]):
        if talk.name in chosen:
            with torch.no_grad():
                logits = model(torch.tensor([talk.ids])).logits[0].log_softmax(-1)
            said = [place for place, one in enumerate(talk.said) if one]
            nats -= sum(logits[place - 1, talk.ids[place]].item() for place in said)
            tokens += len(said)
    made = assemble_evaluation([scored], [], scored.path.parent / "all.json", world.SCRIPT)["metrics"]
    entry = made["conversations.facts.answer_perplexity"]
    assert math.log(entry["value"]) == pytest.approx(nats / tokens, rel=PROMISED)
    assert entry["tokens"] == tokens and entry["n"] == SETTINGS.conversations
    assert made["conversations.facts.ends_its_turn"]["baseline"] == {"nothing said": 1.0}


@pytest.mark.parametrize(("said", "ends", "stays"), [(IM_END, 1.0, 1.0), (IM_START, 0.0, 0.0), (300, 0.0, 1.0)])
def test_a_turn_that_is_not_ended_and_one_that_is_begun_are_told(small, tmp_path, said, ends, stays):
    """A model whose likeliest id is always the same one."""
    from abovo.provenance.hashing import sha256_file
    from abovo.provenance.products import Job, Made, produce

    model = open_model(small["base"].path.parent / "model")
    base = small["base"]

    def make(folder):
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if "norm" not in name and "embed" not in name:
                    weight.zero_()  # what stands at a place is its own embedding, and nothing of others
            table = model.get_input_embeddings().weight
            table.zero_()[:, 0] = 1.0
            table[said, 0] = 2.0
        model.save_pretrained(folder / "model")
        for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
            (folder / "model" / name).write_bytes((base.path.parent / "model" / name).read_bytes())
        weights = folder / "model/model.safetensors"
        fields = {key: base[key] for key in ("tokenizer_sha256", "sequence_length")}
        return Made({}, {**fields, "model_sha256": sha256_file(weights)})

    one = produce(Job(tmp_path / "one/manifest.json", "abovo/model/1", {}, {"said": said}, world.SCRIPT), make)
    given = Given(conversations={"facts": small["facts"]})
    rows = read_evidence(evaluate_task(one, given, SETTINGS, tmp_path / "scored.json", world.SCRIPT))
    for row in rows["conversations.facts"]:
        assert (row["scores"]["ends_its_turn"][0], row["scores"]["stays_in_role"][0]) == (ends, stays)
