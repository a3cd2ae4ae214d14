"""The family inl: integrators in place of attention (modeling/inl.py), from settings to parameters and operations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from abovo.errors import AbovoError
from abovo.modeling.family import Activations, Family, Kept, Operations, OwnClasses, Step
from abovo.modeling.parameters import ParameterCount
from abovo.settings.keys import key
from abovo.settings.model import Model

CONTROLLERS = 4
# Last names of the first matrices of the controllers, in either form
FUSED = ("enter_context", "enter_state", "enter_velocity")
INDEPENDENT = ("read_alpha", "read_beta", "read_gate", "read_velocity")


@dataclass(frozen=True, kw_only=True)
class IntegratorSettings(Model):
    """The shape of an INL model. The vocabulary comes from the run's tokenizer."""

    hidden_size: int = key("Width of the residual stream (D)", minimum=8, maximum=2**20, multiple_of=2)
    layers: int = key("Number of blocks (L)", minimum=1, maximum=10**4)
    feed_forward: int = key("Width of the feed-forward layer (F)", minimum=8, maximum=2**22)
    integration_steps: int = key("Steps of the integrator in a block (T)", minimum=1, maximum=1000)
    controller_size: int = key("Hidden width of a controller (C)", default=64, minimum=1, maximum=2**16)
    context: Literal["causal_mean", "attention"] = key(
        "What an id is told of those before it: their running mean, which costs the same for any number of them, or"
        " what attention finds",
        default="causal_mean",
    )
    heads: int | None = key("Heads of the attention (null: there is none)", default=None, minimum=1, maximum=2**14)
    controllers: Literal["fused", "independent"] = key(
        "fused: what no step changes is multiplied once; independent: four networks, with equal values", default="fused"
    )
    embedding_rank: int | None = key(
        "Width of a table of low rank, beside which the output matrix is one of its own (null: a full table, tied)",
        default=None, minimum=1, maximum=2**20,
    )  # fmt: skip
    dropout: float = key("Share of the stream that is left out in training (fraction)", default=0.0, minimum=0, below=1)
    step_size: float = key("Step of the integrator (dt)", default=0.1, above=0)
    excitation: float = key("Amplitude of the wave that drives the velocity (A)", default=0.03, minimum=0)
    kappa: float = key("How fast damping fades near the rest position", default=1.0, minimum=0)
    position_scale: float = key("By which the sines of a position are multiplied", default=1.0, minimum=0)
    chunk: int | None = key(
        "Ids of a row that are integrated at once, which bounds memory (tokens; null: all)", default=None, minimum=1
    )
    stop_tolerance: float | None = key(
        "In evaluation an id that a step moved by less than this, root mean square, moves no more (null: all steps)",
        default=None, minimum=0,
    )  # fmt: skip
    stop_after: int = key("Steps that every id takes before it may stop (steps)", default=1, minimum=1)

    def __post_init__(self) -> None:
        if (self.context == "attention") != (self.heads is not None):
            what = f"context is {self.context}, heads is {self.heads}"
            raise AbovoError(what, "config/models, key heads", "name heads with context: attention, and only there")
        if self.heads is not None and self.hidden_size % self.heads:
            what = f"{self.heads} heads do not divide a width of {self.hidden_size}"
            raise AbovoError(what, "config/models, key heads", "name a divisor of hidden_size")


class Inl(Family):
    """Integrators fed by a running mean of what came before, or by attention."""

    settings = IntegratorSettings
    model_type = "inl"
    # 9.8 % of an H100's peak, where transformers reach 40: its steps are narrow products and passes over float32 states
    relative_utilization = 0.25
    own_classes = OwnClasses("inl", {"AutoConfig": "InlConfig", "AutoModelForCausalLM": "InlForCausalLM"})
    auxiliary = ("distance", "speed", "energy")  # as Integrator.measures has them
    adapter_parts: Mapping[str, Sequence[str]] = {
        "context": ("project", "q_proj", "k_proj", "v_proj", "o_proj"),
        "controllers": (*FUSED, *INDEPENDENT),
        "feed_forward": ("up_proj", "down_proj"),
    }

    def count(self, model: IntegratorSettings, rows: int) -> ParameterCount:
        """V D, and per block 4 D (two norms), D^2 + D (context; 4 D^2 + 4 D and a norm, 2 D, with attention), 4 [(3 D C
        + C) + (C D + D)] (controllers), 3 D (integrator), 2 D F + F + D (feed-forward), and 2 D (last norm)."""
        width, inner, hidden = model.hidden_size, model.feed_forward, model.controller_size
        attends, rank = model.context == "attention", model.embedding_rank
        matrices = 4 if attends else 1
        return ParameterCount(
            embedding=rows * (rank or width),
            output=rows * width if rank else 0,
            parts={
                **({"embedding_up": rank * width} if rank else {}),
                "context": model.layers * matrices * (width * width + width),
                "controllers": model.layers * CONTROLLERS * (3 * width * hidden + hidden + hidden * width + width),
                "integrators": model.layers * 3 * width,
                "feed_forward": model.layers * (2 * width * inner + inner + width),
                "norms": model.layers * (6 if attends else 4) * width + 2 * width,
            },
        )

    def operations(self, model: IntegratorSettings, rows: int, sequence_length: int) -> Operations:
        """Two for each product with a weight. Per block 2 D^2 (causal_mean) or 8 D^2 (attention), 8 D C for what no
        step changes, 24 D C in each of T steps (32 and nothing beforehand with independent controllers), 4 D F, and
        2 V D for the output; for attention scores 4 D per id of a full row (PaLM, arXiv:2204.02311, appendix B)."""
        width, hidden, rank = model.hidden_size, model.controller_size, model.embedding_rank
        attends = model.context == "attention"
        once, each = (8, 24) if model.controllers == "fused" else (0, 32)
        controllers = (once + each * model.integration_steps) * width * hidden
        context = (8 if attends else 2) * width * width
        return Operations(
            weights=model.layers * (context + controllers + 4 * width * model.feed_forward)
            + 2 * width * (rows + (rank or 0)),
            other=model.layers * 4 * width * sequence_length if attends else 0,
        )

    def activations(self, model: IntegratorSettings) -> Activations:
        """Per step x, v, what they are made of and the inputs of the controllers' two layers; once per block inputs of
        norms and products, and queries, keys, values and output of attention. What is a state is in float32.

        The compiler keeps x, v and one more of each step, and makes the others again from the controllers' products.
        """
        width, inner, hidden = model.hidden_size, model.feed_forward, CONTROLLERS * model.controller_size
        attends, fused, steps = model.context == "attention", model.controllers == "fused", model.integration_steps
        heads = (model.heads or 0) + 2 if attends else 0
        once = 2 * inner + (6 if attends else 0) * width
        read = 2 if fused else CONTROLLERS * 3  # x and v, or z for each controller
        whole = Activations(
            blocks=1,
            stream=width,
            single=Kept(
                once + (4 if attends else 5) * width + heads + steps * ((11 if fused else 13) * width + hidden + 2)
            ),
            half=Kept(
                once + (3 if fused else 2) * width + steps * (read * width + hidden),
                3 * width + heads + steps * (10 * width + 2),
            ),
            compiled=Kept(
                once + 2 * width + steps * (5 * width + 3 * hidden // 2), 2 * width + heads + steps * (3 * width + 1)
            ),
        )
        if model.chunk is None:
            return whole._replace(blocks=model.layers)
        # x, u and h of each id, and what the context keeps; the rest is of one part at a time
        context = (6 if attends else 1) * width
        between = Kept(context + width, 2 * width + heads)
        return Activations(
            model.layers,
            width,
            Kept(context + 2 * width + heads),
            between,
            between,
            part=whole,
            part_length=model.chunk,
        )

    def adapter_sides(self, model: IntegratorSettings) -> Mapping[str, Sequence[tuple[int, int]]]:
        width, inner = model.hidden_size, model.feed_forward
        square, hidden = (width, width), model.controller_size
        attends, fused = model.context == "attention", model.controllers == "fused"
        sides = {
            **dict.fromkeys(("q_proj", "k_proj", "v_proj", "o_proj"), (square,) if attends else ()),
            "project": () if attends else (square,),
            **dict.fromkeys(FUSED, ((width, CONTROLLERS * hidden),) if fused else ()),
            **dict.fromkeys(INDEPENDENT, () if fused else ((3 * width, hidden),)),
            "up_proj": ((width, inner),),
            "down_proj": ((inner, width),),
        }
        return {name: model.layers * list(found) for name, found in sides.items()}

    def build(
        self, model: IntegratorSettings, rows: int, sequence_length: int, eos: int | None, pad: int | None
    ) -> Any:
        from abovo.modeling.inl import InlConfig, InlForCausalLM

        return InlForCausalLM(
            InlConfig(
                vocab_size=rows,
                hidden_size=model.hidden_size,
                num_hidden_layers=model.layers,
                intermediate_size=model.feed_forward,
                integration_steps=model.integration_steps,
                controller_size=model.controller_size,
                context=model.context,
                num_attention_heads=model.heads,
                controllers=model.controllers,
                embedding_rank=model.embedding_rank,
                dropout=model.dropout,
                step_size=model.step_size,
                excitation=model.excitation,
                kappa=model.kappa,
                position_scale=model.position_scale,
                chunk=model.chunk,
                stop_tolerance=model.stop_tolerance,
                stop_after=model.stop_after,
                initializer_range=model.initializer_range,
                max_position_embeddings=sequence_length,
                use_cache=False,
                bos_token_id=None,
                eos_token_id=eos,
                pad_token_id=pad,
            )
        )

    def open(self, folder: Path) -> Any:
        from abovo.modeling.inl import InlForCausalLM
        from abovo.modeling.weights import open_weights

        return open_weights(InlForCausalLM, folder)

    def blocks(self, model: Any) -> Sequence[Any]:
        return model.model.layers

    def residual_writers(self, model: Any) -> Sequence[Any]:
        """The integrators write their state, no product, into the stream."""
        return [block.down_proj.weight for block in model.model.layers]

    def embeddings(self, model: Any) -> Sequence[Any]:
        return [model.get_input_embeddings().weight]

    def output(self, model: Any) -> Any:
        return model.get_output_embeddings().weight

    def step(self, model: Any, ids: Any, cache: Any = None, *, keep: bool = False) -> Step:
        found = model.model(input_ids=ids, past_key_values=cache, use_cache=keep)
        return Step(found.last_hidden_state, found.past_key_values if keep else None)

    def measured(self, model: Any, ids: Any, counted: Any, sight: Any = None) -> tuple[Any, Any]:
        """As InlModel.forward; a loss is the mean over blocks and steps."""
        inner, (mask, places) = model.model, (None, None) if sight is None else (sight.visible[:, None], sight.places)
        seen, positions = inner.sight(ids, mask, places, None)
        x, found = inner.begin(ids, positions), []
        for block in inner.layers:
            x, measures = block(x, seen, counted=counted)
            found.append(measures.mean(0))
        return inner.norm(x), sum(found) / len(found)

    def tree(self, model: Any, ids: Any, depths: Any, visible: Any) -> Any:
        found = model.model(input_ids=ids, attention_mask=visible[:, None], position_ids=depths, use_cache=False)
        return found.last_hidden_state


INL = Inl()
