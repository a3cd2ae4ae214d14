"""The card says what was measured and made, under metadata that the hub's own library reads; nothing else."""

import pytest

from abovo.exporting.card import Kept, Origins, model_card, told_absent
from abovo.settings.export import ExportJob

TRAINED = {
    "counts": {"tokens": 1_200_128, "steps": 586, "parameters": 1_312_128},
    "parameters": {
        "seed": 42,
        "model": {"family": "qwen3", "layers": 4, "non_embedding_parameters": None},
        "training": {
            "batch_tokens": 2048,
            "optimizer": {"kind": "adamw", "learning_rate": 0.004},
            "schedule": {"kind": "wsd"},
        },
    },
    "validation_loss": 4.7242,
    "sequence_length": 256,
}
CORPUS = {
    "counts": {"sources": {"speeches": {"documents": 2038, "tokens": 2_926_341}}},
    "sources": {"speeches": {"licence": "public domain"}},
}
CHATS = {
    "counts": {"train": {"conversations": 6000}},
    "licences": {"facts": {"speeches": {"licence": "MIT"}, "notes": {"licence": "MIT"}}, "own": "CC0 | mixed"},
}
ENTRY = {"value": 0.24, "interval": [0.1524, 0.3567], "n": 100, "unit": "questions", "baseline": {"chance": 0.25}}
RESULTS = {"metrics": {"choice.accuracy": {"pretrain": {**ENTRY, "value": 0.99}, "sft": ENTRY}}}


@pytest.fixture
def card():
    origins = Origins({"pretrain/nano": TRAINED}, {"nano": CORPUS}, {"chats": CHATS}, RESULTS, 1.134e13)
    kept = Kept({"hf/config.json": "ab" * 32}, {}, {"f32": "why", "q8_0": "why"}, chat=True)
    return model_card(ExportJob(run="nano", stage="sft", licence="mit", languages=("en", "fr")), origins, kept)


def test_metadata_hold_the_scores_of_the_model_itself(card):
    from huggingface_hub import ModelCard

    data = ModelCard(card).data
    assert (data.license, data.language, data.pipeline_tag) == ("mit", ["en", "fr"], "text-generation")
    [result] = data.eval_results
    assert (result.dataset_type, result.metric_type, result.metric_value) == ("choice", "accuracy", 0.24)


def test_recipe_data_results_and_hashes_are_told(card):
    for line in (
        "| pretrain/nano | 1,200,128 | 586 | 2,048 | adamw, learning rate 0.004 | wsd | 4.724 | 42 |",
        "1,312,128 parameters, context of 256 tokens: family qwen3, layers 4.",
        "Compute: 1.13e+13 operations",
        "| nano | speeches | 2,038 | 2,926,341 | public domain |",
        "| chats | 6,000 | MIT; CC0 \\| mixed |",
        "| choice.accuracy | 0.24 | 0.1524 to 0.3567 | 100 questions | chance 0.25 |",
        f"| hf/config.json | `{'ab' * 32}` |",
        "* no GGUF as f32, q8_0: why",
    ):
        assert line in card, f"{line!r} is not in\n{card}"
    assert "0.99" not in card


def test_card_of_a_model_from_elsewhere_claims_no_training():
    card = model_card(ExportJob(run="other", stage="given"), Origins({}, {}, {}, None, None), Kept({}, {}, {}, False))
    assert "## Training" not in card and "## Data" not in card and "## Results" not in card
    assert "model-index" not in card and "license: unknown" in card


def test_reasons_are_told_once_each():
    assert told_absent({"f32": "a", "f16": "b", "q8_0": "a"}) == ["no GGUF as f32, q8_0: a", "no GGUF as f16: b"]
