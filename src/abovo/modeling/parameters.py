"""Turn the settings of a model into its exact number of parameters, in pure arithmetic.

The plan of a run must not wait for torch; a test compares the families' formulas with real models on the meta device.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from abovo.errors import AbovoError

# Embedding rows are a multiple of this, so that matrix kernels meet no ragged edge.
VOCABULARY_MULTIPLE = 128
# How far a run's claim may be off (fraction)
CLAIM_TOLERANCE = 0.01


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of a model by what they do; all fields count numbers, not bytes.

    `embedding` holds the input table, `output` an output table of its own (0 where it is tied), `parts` all else by
    names that the family chose.
    """

    embedding: int
    output: int
    parts: Mapping[str, int]

    @property
    def tables(self) -> int:
        """The tables that have a row for each piece of the vocabulary."""
        return self.embedding + self.output

    @property
    def non_embedding(self) -> int:
        return sum(self.parts.values())

    @property
    def total(self) -> int:
        return self.tables + self.non_embedding


def padded_vocabulary(vocabulary_size: int) -> int:
    """Rows of the embedding table for a tokenizer of this size."""
    return -(-vocabulary_size // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE


def check_claim(claim: int | None, parameters: int, where: str) -> None:
    """Raise AbovoError where the `claim` of a run is off by more than 1 %; `where` names its file and key."""
    if claim and abs(parameters - claim) > CLAIM_TOLERANCE * claim:
        what = f"claims {claim:,} parameters, but the model has {parameters:,} ({parameters / claim - 1:+.1%})"
        raise AbovoError(what, where, "correct the claim or the model")
