"""Turn the settings of a model into its exact number of parameters, in pure arithmetic.

The plan of a run must not wait for torch; a test compares these formulas with the real model on the meta device.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from abovo.errors import AbovoError

# Embedding rows are a multiple of this, so that matrix kernels meet no ragged edge.
VOCABULARY_MULTIPLE = 128
# How far a run's claim may be off (fraction)
CLAIM_TOLERANCE = 0.01


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of a model by what they do; all fields count numbers, not bytes.

    `embedding` holds the input table and, where it is not tied, the output table; `multiplied` are those that every
    token is multiplied with, hence the ones that cost compute: all but an untied input table, which is only looked up.
    """

    total: int
    embedding: int
    multiplied: int

    @property
    def non_embedding(self) -> int:
        return self.total - self.embedding


def padded_vocabulary(vocabulary_size: int) -> int:
    """Rows of the embedding table for a tokenizer of this size."""
    return -(-vocabulary_size // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE


def count_parameters(model: Mapping[str, Any], vocabulary_rows: int) -> ParameterCount:
    """Count the parameters of `model` (settings of config/models) with `vocabulary_rows` rows of embeddings.

    Raises AbovoError for a family without a formula, and where the model claims another number.
    """
    family = model["family"]
    if family not in FAMILIES:
        raise AbovoError(
            f"no parameter formula for family {family!r}", "config/models, key family", f"known: {', '.join(FAMILIES)}"
        )
    table = vocabulary_rows * model["hidden_size"]
    tied = model["tied_embeddings"]
    embedding = table if tied else 2 * table
    rest, claim = FAMILIES[family](model), model.get("non_embedding_parameters")
    if claim and claim != rest:
        what = f"claims {claim:,} parameters outside the embeddings, but the shape has {rest:,}"
        where = f"config/models/{model.get('name', '?')}.yaml, key non_embedding_parameters"
        raise AbovoError(what, where, "correct the claim or the shape")
    total = embedding + rest
    return ParameterCount(total=total, embedding=embedding, multiplied=total - (0 if tied else table))


def check_claim(claim: int | None, parameters: int, where: str) -> None:
    """Raise AbovoError where the `claim` of a run is off by more than 1 %; `where` names its file and key."""
    if claim and abs(parameters - claim) > CLAIM_TOLERANCE * claim:
        what = f"claims {claim:,} parameters, but the model has {parameters:,} ({parameters / claim - 1:+.1%})"
        raise AbovoError(what, where, "correct the claim or the model")


def count_adapter_parameters(model: Mapping[str, Any], rank: int) -> int:
    """Parameters of low-rank adapters on all linear layers of the blocks: `rank` times (inputs + outputs) of each."""
    width, inner = model["hidden_size"], model["feed_forward"]
    queries, keys = model["heads"] * model["head_dim"], model["key_value_heads"] * model["head_dim"]
    sides = 2 * (width + queries) + 2 * (width + keys) + 3 * (width + inner)
    return model["layers"] * rank * sides


def _decoder(model: Mapping[str, Any], head_norms: int) -> int:
    """Attention with grouped key-value heads, a gated feed-forward, RMSNorm before both and at the end; no biases."""
    width, head = model["hidden_size"], model["head_dim"]
    attention = 2 * width * head * (model["heads"] + model["key_value_heads"])
    feed_forward = 3 * width * model["feed_forward"]
    layer = attention + head_norms * head + feed_forward + 2 * width
    return model["layers"] * layer + width


def _qwen3(model: Mapping[str, Any]) -> int:
    return _decoder(model, head_norms=2)  # queries and keys are normalised head by head


def _llama(model: Mapping[str, Any]) -> int:
    return _decoder(model, head_norms=0)


# Family -> parameters outside the embedding tables.
FAMILIES: dict[str, Callable[[Mapping[str, Any]], int]] = {"qwen3": _qwen3, "llama": _llama}
