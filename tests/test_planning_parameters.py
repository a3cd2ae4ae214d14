"""Parameter counts in closed form equal the published tables."""

from pathlib import Path

import pytest

from abovo.config.load import load
from abovo.errors import AbovoError
from abovo.modeling.cost import count_adapter_parameters, count_parameters
from abovo.modeling.family import shape_of
from abovo.modeling.parameters import padded_vocabulary
from abovo.settings.tuning import Adapters


def shape(width, layers, heads, key_value_heads, head, inner, family="qwen3", tied=True):
    return shape_of(
        {
            "family": family, "hidden_size": width, "layers": layers, "heads": heads,
            "key_value_heads": key_value_heads, "head_dim": head, "feed_forward": inner, "tied_embeddings": tied,
        }
    )  # fmt: skip


TABLE = [
    (32768, shape(256, 14, 8, 8, 32, 1024), 23_076_992),
    (32768, shape(320, 12, 10, 5, 32, 768), 23_028_288),
    (8192, shape(384, 15, 6, 3, 64, 768), 23_066_112),
    (8192, shape(512, 8, 16, 8, 32, 1024), 23_077_888),
    (32768, shape(576, 25, 9, 3, 64, 1920), 123_969_344),
    (32768, shape(640, 19, 10, 5, 64, 2176), 123_726_592),
    (32768, shape(896, 11, 14, 7, 64, 2304), 123_999_744),
    (32768, shape(256, 6, 4, 4, 64, 1024, "llama", tied=False), 23_072_000),
]


@pytest.mark.parametrize(("rows", "model", "expected"), TABLE)
def test_count_equals_the_table(rows, model, expected):
    assert count_parameters(model, rows).total == expected


def test_shipped_tiny_seed_has_the_parameters_of_the_document():
    count = count_parameters(load("models", "tiny-seed", Path("config")), 32768)
    assert (count.total, count.tables) == (23_072_000, 2 * 32768 * 256)
    assert count.embedding == count.output == 32768 * 256


def test_parts_add_up_and_a_tied_table_is_multiplied():
    count = count_parameters(shape(64, 2, 4, 2, 16, 96), 256)
    assert count.embedding == 256 * 64
    assert count.output == 0
    assert count.embedding + sum(count.parts.values()) == count.embedding + count.non_embedding == count.total


@pytest.mark.parametrize(
    ("size", "rows"), [(1, 128), (128, 128), (129, 256), (4096, 4096), (32000, 32000), (32001, 32128)]
)
def test_vocabulary_is_padded_up_to_a_multiple_of_128(size, rows):
    assert padded_vocabulary(size) == rows


def test_adapters_have_rank_times_inputs_plus_outputs():
    model = shape(8, 3, 2, 1, 4, 16)
    linear = [(8, 8), (8, 4), (8, 4), (8, 8), (8, 16), (8, 16), (16, 8)]  # q, k, v, o, gate, up, down
    assert count_adapter_parameters(model, Adapters(rank=2)) == 3 * sum(2 * sum(sides) for sides in linear)
    attention = count_adapter_parameters(model, Adapters(rank=2, targets="attention"))
    assert attention == 3 * sum(2 * sum(sides) for sides in linear[:4])
    # DoRA has the length of each row besides
    some = Adapters(rank=2, targets=("feed_forward", "q_proj", "down_proj"), method="dora")
    chosen = [linear[0], *linear[4:]]
    assert count_adapter_parameters(model, some) == 3 * sum(2 * sum(sides) + sides[1] for sides in chosen)


def test_unknown_family_is_named():
    with pytest.raises(AbovoError, match=r"'inl2'.*use one of qwen3, llama"):
        shape_of({"family": "inl2", "hidden_size": 8, "tied_embeddings": True})
