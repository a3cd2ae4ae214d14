"""Turn a model into the groups of its parameters that optimizers treat apart."""

from dataclasses import dataclass, field

from torch import nn

from abovo.modeling.family import base_of, family_of


@dataclass(frozen=True)
class Groups:
    """The trainable parameters of a model: `matrices` of its blocks, an `output` matrix of its own, and `others`, the
    embeddings among them. A tied output matrix is an embedding."""

    matrices: list[nn.Parameter] = field(default_factory=list)
    output: list[nn.Parameter] = field(default_factory=list)
    others: list[nn.Parameter] = field(default_factory=list)


def groups_of(model: nn.Module) -> Groups:
    """The parameters that train, as the model's family tells them apart, in the model's order."""
    family, base = family_of(model), base_of(model)
    tables = {id(table) for table in family.embeddings(base)}
    output = id(family.output(base))
    groups = Groups()
    for parameter in (p for p in model.parameters() if p.requires_grad):
        if id(parameter) in tables or parameter.ndim != 2:
            groups.others.append(parameter)
        else:
            (groups.output if id(parameter) == output else groups.matrices).append(parameter)
    return groups
