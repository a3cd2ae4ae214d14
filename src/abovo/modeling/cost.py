"""Turn a model's settings into what training it takes: parameters, those of adapters, operations per token."""

from abovo.errors import AbovoError
from abovo.modeling.family import chosen_modules, family_named
from abovo.modeling.parameters import ParameterCount
from abovo.settings.model import Model
from abovo.settings.tuning import Adapters

# A backward pass costs two forward passes: one product for the inputs' gradients, one for the weights'.
BACKWARD = 2


def count_parameters(model: Model, rows: int) -> ParameterCount:
    """The parameters of a model with `rows` rows of embeddings.

    Raises AbovoError for an unknown family, and where the model claims another number.
    """
    count = family_named(model.family).count(model, rows)
    claim = model.non_embedding_parameters
    if claim and claim != count.non_embedding:
        what = f"claims {claim:,} parameters outside the embeddings, but the shape has {count.non_embedding:,}"
        where = "config/models, key non_embedding_parameters"
        raise AbovoError(what, where, "correct the claim or the shape")
    return count


def count_adapter_parameters(model: Model, adapters: Adapters) -> int:
    """Parameters of low-rank adapters: `rank` times (inputs + outputs) of each matrix that they go on, and with DoRA a
    length of each row (outputs)."""
    family = family_named(model.family)
    chosen, sides = chosen_modules(family, adapters.targets, "lora.targets"), family.adapter_sides(model)
    lengths = adapters.method == "dora"
    return sum(
        adapters.rank * (inputs + outputs) + lengths * outputs for name in chosen for inputs, outputs in sides[name]
    )


def training_flops_per_token(model: Model, rows: int, sequence_length: int) -> int:
    """Operations to train on one token: forward and backward, three times those of the forward pass."""
    forward = family_named(model.family).operations(model, rows, sequence_length)
    return (1 + BACKWARD) * (forward.weights + forward.other)


def adapter_flops_per_token(model: Model, rows: int, sequence_length: int) -> int:
    """The same with frozen weights: no products for their gradients, so 4 N in place of 6 N.

    The adapters' own products are left out; they are a few percent at the usual ranks.
    """
    forward = family_named(model.family).operations(model, rows, sequence_length)
    return training_flops_per_token(model, rows, sequence_length) - forward.weights
