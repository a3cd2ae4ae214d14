"""Parameter counts: the closed formula, the real model and the published tables agree."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rounding import ONE_PASS, near

from abovo.config.load import load, names
from abovo.errors import AbovoError
from abovo.modeling.build import build_model
from abovo.modeling.cost import count_parameters
from abovo.modeling.family import shape_of
from abovo.modeling.parameters import padded_vocabulary
from abovo.modeling.passes import use_few_passes

CONFIG = Path("config")
TABLE = [
    ((256, 14, 8, 8, 32, 1024), 32768, 23_076_992),
    ((320, 12, 10, 5, 32, 768), 32768, 23_028_288),
    ((384, 15, 6, 3, 64, 768), 8192, 23_066_112),
    ((512, 8, 16, 8, 32, 1024), 8192, 23_077_888),
    ((576, 25, 9, 3, 64, 1920), 32768, 123_969_344),
    ((640, 19, 10, 5, 64, 2176), 32768, 123_726_592),
]


def shape(width, layers, heads, kv, head, inner, family="qwen3", tied=True):
    return shape_of(
        {
            "family": family, "hidden_size": width, "layers": layers, "heads": heads, "key_value_heads": kv,
            "head_dim": head, "feed_forward": inner, "tied_embeddings": tied,
        }
    )  # fmt: skip


def real_count(model, vocabulary):
    with torch.device("meta"):
        built = build_model(model, vocabulary, 128, seed=0)
    return sum(parameter.numel() for parameter in built.parameters())


@pytest.mark.parametrize(("numbers", "vocabulary", "expected"), TABLE)
def test_formula_and_real_model_give_the_published_count(numbers, vocabulary, expected):
    assert count_parameters(shape(*numbers), vocabulary).total == expected
    assert real_count(shape(*numbers), vocabulary) == expected


def test_seed_shape_has_exactly_its_document_s_parameters():
    model = shape(256, 6, 4, 4, 64, 1024, family="llama", tied=False)
    assert count_parameters(model, 32768).total == real_count(model, 32768)


@pytest.mark.parametrize("name", names("models", CONFIG))
def test_shipped_model_has_the_parameters_that_it_claims(name):
    """By formula and in the real model, whatever the vocabulary."""
    model = load("models", name, CONFIG)
    claim = model.non_embedding_parameters
    for vocabulary in (4096, 32768):
        count = count_parameters(model, vocabulary)
        assert count.non_embedding == claim
        # an integrator's output is tied, but for a table of low rank, which no shipped one has
        tied = model.embedding_rank is None if model.family == "inl" else model.tied_embeddings
        tables = (1 if tied else 2) * vocabulary * model.hidden_size
        assert count.tables == tables
        assert real_count(model, vocabulary) == claim + tables == count.total


def test_ladder_is_named_after_the_parameters_outside_the_embeddings():
    rungs = [name for name in names("models", CONFIG) if name[0].isdigit()]
    assert len(rungs) >= 5
    for name in rungs:
        claim = load("models", name, CONFIG).non_embedding_parameters
        assert claim == pytest.approx(int(name.removesuffix("m")) * 1e6, rel=0.01), name


def test_a_shape_that_is_not_what_it_claims_is_refused():
    model = replace(load("models", "3m", CONFIG), layers=9)
    with pytest.raises(AbovoError, match=r"config/models, key non_embedding.*claims 2,990,272 .* 3,364,032"):
        count_parameters(model, 4096)


def test_vocabulary_is_padded_to_a_multiple_of_128():
    assert [padded_vocabulary(size) for size in (1, 128, 129, 4096, 32768)] == [128, 128, 256, 4096, 32768]


def test_equal_seeds_give_equal_weights():
    first, second, other = (build_model(shape(32, 1, 2, 1, 16, 64), 128, 16, seed=seed) for seed in (1, 1, 2))
    flat = [torch.cat([p.flatten() for p in model.parameters()]) for model in (first, second, other)]
    assert torch.equal(flat[0], flat[1])
    assert not torch.equal(flat[0], flat[2])


def test_unknown_family_is_named():
    with pytest.raises(AbovoError, match="unknown family 'gpt9'"):
        build_model(replace(shape(32, 1, 2, 1, 16, 64), family="gpt9"), 128, 16, seed=1)


@pytest.mark.parametrize("family", ["qwen3", "llama"])
def test_norms_of_few_passes_have_the_values_and_gradients_of_the_librarys(family):
    ids = torch.arange(48).view(3, 16) * 7 % 128
    results = []
    for change in (lambda model: None, use_few_passes):
        model = build_model(shape(32, 2, 2, 1, 16, 64, family), 128, 16, seed=1)
        change(model)
        logits = model(input_ids=ids).logits
        logits.square().sum().backward()
        results.append([logits, *(parameter.grad for parameter in model.parameters())])
    for plain, few in zip(*results, strict=True):
        assert near(few, plain, 10 * ONE_PASS)  # there and back again through two blocks


@pytest.mark.parametrize(("how", "factor"), [("normal", 1.0), ("scaled", 0.5), ("zero", 0.0)])
def test_residual_init_scales_what_each_block_adds(how, factor):
    """Two blocks, so 1 / sqrt(2 L) is a half; all other weights stay as they were drawn."""
    plain = dict(build_model(shape(32, 2, 2, 1, 16, 64), 128, 16, seed=1).named_parameters())
    model = build_model(replace(shape(32, 2, 2, 1, 16, 64), residual_init=how), 128, 16, seed=1)
    for name, weight in model.named_parameters():
        expected = factor if name.endswith(("o_proj.weight", "down_proj.weight")) else 1.0
        assert torch.equal(weight, plain[name] * expected)
