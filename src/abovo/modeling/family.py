"""Turn the name of a family, or a model, into the object that answers for the family: the protocol and its table.

A family is one file beside this one and one row of FAMILIES. Nothing outside its file knows how it is built, counted,
trained or saved; what trains, plans, exports and evaluates asks it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from abovo.errors import AbovoError
from abovo.modeling.layout import read_config
from abovo.modeling.parameters import ParameterCount
from abovo.provenance.tables import Table
from abovo.settings.keys import build
from abovo.settings.model import Model

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from abovo.modeling.apart import Sight


class Operations(NamedTuple):
    """Operations of a forward pass on one token: of products with weights, and of all else (attention scores, say).

    A backward pass takes as many for the gradients of the inputs and, of `weights`, as many again for those of the
    weights.
    """

    weights: int
    other: int


class Kept(NamedTuple):
    """Numbers per token that a forward pass keeps for the backward pass: in the type of products, and in float32."""

    products: float
    exact: float = 0.0


class Activations(NamedTuple):
    """What the blocks of a model keep of a token for the backward pass.

    `stream` numbers go from block to block, which is all that stays of blocks that are computed again. One block keeps
    `single` in float32 on a processor; in half precision `half` as it is written, `compiled` where torch compiles it.
    Where a block goes through parts of a row by themselves, `part` is what one of them keeps, of `part_length` tokens
    at most, while its backward pass lasts.
    """

    blocks: int
    stream: int
    single: Kept
    half: Kept
    compiled: Kept
    part: "Activations | None" = None
    part_length: int = 0


@dataclass(frozen=True)
class Step:
    """Hidden states [rows, length, width] as the output matrix takes them, and what decoding on from there needs."""

    hidden: "Tensor"
    cache: Any = None


class OwnClasses(NamedTuple):
    """What opens the models of a family whose classes transformers has not: a module that needs transformers and torch
    alone, and the names of its classes by those of transformers' Auto classes."""

    module: str
    names: Mapping[str, str]

    @property
    def file(self) -> Path:
        """Where the module lies."""
        return Path(__file__).with_name(f"{self.module}.py")

    @property
    def beside(self) -> str:
        """What the module is called where it lies beside weights: transformers' own name for such files."""
        return f"modeling_{self.module}.py"

    @property
    def auto_map(self) -> dict[str, str]:
        """Key `auto_map` of a config.json that the module lies beside."""
        return {auto: f"modeling_{self.module}.{name}" for auto, name in self.names.items()}


class Family(ABC):
    """What a family of models answers for itself. The first part is arithmetic on settings: it never needs torch."""

    # Keys of its files in config/models, and what config.json of the Hugging Face layout calls it.
    settings: type[Model]
    model_type: str
    # Last names of the modules that low-rank adapters may go on, by part of the model.
    adapter_parts: Mapping[str, Sequence[str]]
    # What llama.cpp calls it, a name of gguf.MODEL_ARCH; None of a family that it has not.
    gguf: str | None = None
    # What it reaches of the utilization that a transformer of its size does (fraction), where that was measured.
    relative_utilization: float = 1.0
    # Losses on the way of a forward pass, which recipes may weigh beside the cross-entropy.
    auxiliary: Sequence[str] = ()
    # What others need to open its models; None of a family whose classes transformers has.
    own_classes: OwnClasses | None = None

    @abstractmethod
    def count(self, model: Any, rows: int) -> ParameterCount:
        """The parameters by what they do, with `rows` rows in the embedding table: a closed formula."""

    @abstractmethod
    def operations(self, model: Any, rows: int, sequence_length: int) -> Operations:
        """Operations of a forward pass per token, in rows of `sequence_length` tokens."""

    @abstractmethod
    def activations(self, model: Any) -> Activations:
        """What the blocks keep of a token in training, in whole rows: a closed formula."""

    @abstractmethod
    def adapter_sides(self, model: Any) -> Mapping[str, Sequence[tuple[int, int]]]:
        """(inputs, outputs) of each matrix that low-rank adapters may go on, by the last name of its module."""

    @abstractmethod
    def build(self, model: Any, rows: int, sequence_length: int, eos: int | None, pad: int | None) -> "PreTrainedModel":
        """A model with fresh weights, drawn from torch's generator, in float32; works on the meta device. `eos` and
        `pad` are the ids that its configuration names, None where it is to name none."""

    @abstractmethod
    def open(self, folder: Path) -> "PreTrainedModel":
        """A model in float32 from a folder in the Hugging Face layout; runs no code and reads no pickle from it."""

    @abstractmethod
    def blocks(self, model: "nn.Module") -> "Sequence[nn.Module]":
        """The blocks in their order: what is compiled, recomputed and spread over processes one by one."""

    @abstractmethod
    def residual_writers(self, model: "nn.Module") -> "Sequence[Tensor]":
        """The matrices whose products are added to the residual stream."""

    @abstractmethod
    def embeddings(self, model: "nn.Module") -> "Sequence[Tensor]":
        """The tables that tokens are looked up in; a tied output matrix is one of them."""

    @abstractmethod
    def output(self, model: "nn.Module") -> "Tensor":
        """The output matrix [rows, width]."""

    @abstractmethod
    def step(self, model: "nn.Module", ids: "Tensor", cache: Any = None, *, keep: bool = False) -> Step:
        """Go through the blocks with `ids`, int64 [rows, length], which follow those that made `cache`.

        With `keep` the step holds the cache for the ids after them; without, none is made.
        """

    def logits(self, model: "nn.Module", ids: "Tensor", sight: "Sight | None" = None) -> "Tensor | None":
        """The logits [rows, length, V] of ids [rows, length] of a family that makes them by itself; None where they are
        products of `step`'s hidden states with the output matrix. With `sight` ids see that alone."""
        return None

    def tree(self, model: "nn.Module", ids: "Tensor", depths: "Tensor", visible: "Tensor") -> "Tensor | None":
        """Hidden states [rows, length, width] of ids [rows, length] that stand at `depths` [rows, length] and see what
        is `visible`, bool [rows, length, length]; None of a family whose ids cannot choose what they see."""
        return None

    def measured(
        self, model: "nn.Module", ids: "Tensor", counted: "Tensor", sight: "Sight | None" = None
    ) -> "tuple[Tensor, Tensor]":
        """The hidden states of `step`, or with `sight` of `tree`, and the `auxiliary` losses in their order, each
        summed over the ids that are `counted`, bool [rows, length]. A family without such losses is never asked."""
        raise TypeError(f"{self.model_type} has no auxiliary losses")

    def adapter_targets(self, model: "nn.Module", chosen: Collection[str]) -> Sequence[str]:
        """The names of the modules whose last names are `chosen` from `adapter_parts`."""
        return [name for name, _ in model.named_modules() if name.rpartition(".")[2] in chosen]

    def prepare(self, model: "nn.Module") -> None:  # noqa: B027  (nothing, unless a family has something)
        """Make a model faster where it is to be trained; values may change by rounding."""

    def recompute_blocks(self, model: "nn.Module") -> None:
        """Let the blocks be computed again in the backward pass, so that little of them is kept in memory."""
        model.activation_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]

    def save(self, model: "PreTrainedModel", folder: Path) -> None:
        """Write config.json, generation_config.json and one model.safetensors."""
        model.save_pretrained(folder, max_shard_size="1000GB")


FAMILIES: Table[Family] = Table(
    {
        "qwen3": "abovo.modeling.qwen3:QWEN3",
        "llama": "abovo.modeling.llama:LLAMA",
        "inl": "abovo.modeling.integrator:INL",
    },
    chosen_by="family",
)


# Models whose class is of none of these families.
OTHERS: Table[Callable[[Any], Family]] = Table({"stock": "abovo.modeling.stock:Stock"}, chosen_by="family")


def family_named(name: str, where: object = "config/models, key family") -> Family:
    """The family of this name. Raises AbovoError for one that is not in FAMILIES."""
    if name not in FAMILIES:
        raise AbovoError(f"unknown family {name!r}", where, f"use one of {', '.join(FAMILIES)}")
    return FAMILIES[name]


def chosen_modules(family: Family, targets: str | Sequence[str], where: object) -> list[str]:
    """The last names of modules that `targets` means: all, parts of the family's models, or such names.

    Raises AbovoError for one that the family does not know.
    """
    parts = family.adapter_parts
    modules = [name for names in parts.values() for name in names]
    known = {"all": modules, **parts, **{name: [name] for name in modules}}
    chosen: set[str] = set()
    for target in (targets,) if isinstance(targets, str) else targets:
        if target not in known:
            what = f"no linear layers of this family are called {target!r}"
            raise AbovoError(what, where, f"known: {', '.join(known)}")
        chosen.update(known[target])
    return [name for name in modules if name in chosen]


def check_auxiliary(losses: Collection[str], family: str, where: object) -> None:
    """Raise AbovoError for an auxiliary loss that a family, which may be none of FAMILIES, has not."""
    known = FAMILIES[family].auxiliary if family in FAMILIES else ()
    if unknown := next((name for name in losses if name not in known), None):
        what = f"the family {family} has no auxiliary loss called {unknown!r}"
        raise AbovoError(what, where, f"known: {', '.join(known)}" if known else "remove it: the family has none")


def shape_of(values: Mapping[str, Any], where: object = "config/models") -> Model:
    """The settings of a model from a mapping, by its family's own keys.

    Raises AbovoError for an unknown family or key, a wrong type or a value out of range.
    """
    return build(family_named(values.get("family", ""), f"{where}, key family").settings, values, where)


def family_of_type(model_type: str | None) -> Family | None:
    """The family that config.json calls `model_type`; None where none is called so."""
    known = {family.model_type: family for family in map(FAMILIES.__getitem__, FAMILIES)}
    return known.get(str(model_type))


def name_of_family(model_type: str | None) -> str:
    """What settings call the family of a model that config.json calls so."""
    names = (name for name in FAMILIES if FAMILIES[name].model_type == model_type)
    return next(names, next(iter(OTHERS)))


def family_of(model: Any) -> Family:
    """The family of a model, with adapters or without."""
    base = base_of(model)
    return family_of_type(base.config.model_type) or OTHERS["stock"](base)


def base_of(model: Any) -> Any:
    """The model itself: what adapters are wrapped around, where there are any."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def open_model(folder: Path, trusted: bool = False) -> "PreTrainedModel":
    """The model in a folder in the Hugging Face layout, whatever its family, in float32.

    Of a class that neither transformers nor a family here has it is opened by the code in the folder, where that is
    `trusted`. Raises AbovoError where it is not whole, or of no class that may be run.
    """
    family: Any = family_of_type(read_config(folder).get("model_type"))
    if family is not None:
        return family.open(folder)
    if not trusted:
        refuse_code(folder, folder)
    return OTHERS["stock"].open(folder, trusted)  # type: ignore[attr-defined]


def refuse_code(folder: Path, where: object) -> None:
    """Raise AbovoError where a model can be opened by code in its folder alone."""
    config = read_config(folder)
    kind, classes = config.get("model_type"), config.get("auto_map") or {}
    if not isinstance(kind, str | None) or not isinstance(classes, dict):
        what = "model_type is no text, or auto_map names no classes"
        raise AbovoError(what, folder / "config.json", "fetch the folder again, or mend it")
    if not classes or family_of_type(kind) is not None:
        return
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    if kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return
    named = str(classes.get("AutoModelForCausalLM", ""))
    if not named or "--" in named:
        what = f"transformers has no causal model of model_type {kind!r}, nor has the folder ({named or 'none named'})"
        raise AbovoError(what, where, "name the folder of a causal language model with its code beside it")
    file = folder / f"{named.rpartition('.')[0]}.py"
    what = f"transformers has no causal model of model_type {kind!r}, and {file} would have to run"
    raise AbovoError(what, where, "read that code, then set trust_remote_code: true in the file of the run")
