"""The family odd, which lives in tests: a recurrent model that shares nothing with a decoder but the protocol.

It has no output layer (the table serves as one), its two blocks lie in no list, what they forget stands in a buffer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from abovo.modeling.family import Activations, Family, Kept, Operations, Step
from abovo.modeling.parameters import ParameterCount
from abovo.settings.keys import key
from abovo.settings.model import Model


@dataclass(frozen=True, kw_only=True)
class OddSettings(Model):
    """The shape of an odd model."""

    width: int = key("Width of the residual stream", minimum=4)
    inner: int = key("Width between the two matrices of a block", minimum=4)
    half_life: float = key("After how many tokens half of a token is forgotten (tokens)", default=8.0, above=0)


class Odd(Family):
    """Each block adds W_out silu(W_in m) to the stream, m being a forgetting mean of what came so far."""

    settings = OddSettings
    model_type = "odd"
    adapter_parts: Mapping[str, Sequence[str]] = {"mixing": ("enter", "leave")}

    def count(self, model: OddSettings, rows: int) -> ParameterCount:
        return ParameterCount(
            rows * model.width, 0, {"mixing": 2 * 2 * model.width * model.inner, "scale": model.width}
        )

    def operations(self, model: OddSettings, rows: int, sequence_length: int) -> Operations:
        return Operations(
            weights=2 * (4 * model.width * model.inner + rows * model.width),
            other=2 * 2 * model.width * sequence_length,
        )

    def activations(self, model: OddSettings) -> Activations:
        """The mean that is multiplied, and what lies between the two matrices before and after the activation."""
        kept = Kept(model.width + 2 * model.inner)
        return Activations(2, model.width, kept, kept, kept)

    def adapter_sides(self, model: OddSettings) -> Mapping[str, Sequence[tuple[int, int]]]:
        return {"enter": 2 * [(model.width, model.inner)], "leave": 2 * [(model.inner, model.width)]}

    def build(self, model: OddSettings, rows: int, sequence_length: int, eos: int | None, pad: int | None) -> Any:
        config, causal = _classes()
        return causal(config(rows, model.width, model.inner, model.half_life, model.initializer_range))

    def open(self, folder: Path) -> Any:
        import torch

        _, causal = _classes()
        return causal.from_pretrained(folder, dtype=torch.float32, local_files_only=True, use_safetensors=True)

    def blocks(self, model: Any) -> Sequence[Any]:
        return [model.early, model.late]

    def residual_writers(self, model: Any) -> Sequence[Any]:
        return [block.leave.weight for block in self.blocks(model)]

    def embeddings(self, model: Any) -> Sequence[Any]:
        return [model.table.weight]

    def output(self, model: Any) -> Any:
        return model.table.weight

    def step(self, model: Any, ids: Any, cache: Any = None, *, keep: bool = False) -> Step:
        hidden, states = model.table(ids), []
        for block, state in zip(self.blocks(model), cache or (None, None), strict=True):
            hidden, state = block(hidden, state)
            states.append(state)
        return Step(hidden * model.scale, states if keep else None)

    def recompute_blocks(self, model: Any) -> None:
        from torch.utils.checkpoint import checkpoint

        for block in self.blocks(model):
            plain = block.forward
            block.forward = lambda hidden, state, plain=plain: checkpoint(plain, hidden, state, use_reentrant=False)


def _classes() -> tuple[Any, Any]:
    """Configuration and model; torch is imported by who trains, not by who plans."""
    import torch
    from torch import nn
    from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
    from transformers.modeling_outputs import CausalLMOutput

    class OddConfig(PretrainedConfig):
        model_type = ODD.model_type

        def __init__(self, rows=128, width=8, inner=8, half_life=8.0, initializer_range=0.02, **others):
            self.vocab_size, self.hidden_size, self.inner = rows, width, inner
            self.half_life, self.initializer_range = half_life, initializer_range
            super().__init__(**others)

    class Block(nn.Module):
        def __init__(self, width, inner):
            super().__init__()
            self.enter, self.leave = nn.Linear(width, inner, bias=False), nn.Linear(inner, width, bias=False)
            self.register_buffer("keeps", torch.empty(()))

        def forward(self, hidden, state):
            length = hidden.shape[1]
            ages = torch.arange(length, device=hidden.device)
            ages = (ages[:, None] - ages).to(hidden.dtype)
            weights = torch.where(ages >= 0, (1 - self.keeps) * self.keeps ** ages.clamp(min=0), 0.0)
            mean = weights @ hidden
            if state is not None:
                mean = mean + self.keeps ** (ages[:, 0, None] + 1) * state[:, None]
            return hidden + self.leave(nn.functional.silu(self.enter(mean))), mean[:, -1]

    class OddForCausalLM(PreTrainedModel, GenerationMixin):
        config_class = OddConfig

        def __init__(self, config):
            super().__init__(config)
            self.table = nn.Embedding(config.vocab_size, config.hidden_size)
            self.early, self.late = (Block(config.hidden_size, config.inner) for _ in range(2))
            self.scale = nn.Parameter(torch.ones(config.hidden_size))
            self.post_init()

        def _init_weights(self, module):
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=self.config.initializer_range)
            elif isinstance(module, Block):
                nn.init.constant_(module.keeps, 0.5 ** (1 / self.config.half_life))

        def forward(self, input_ids, attention_mask=None, **_):
            hidden = ODD.step(self, input_ids).hidden
            return CausalLMOutput(logits=nn.functional.linear(hidden, self.table.weight))

    return OddConfig, OddForCausalLM


ODD = Odd()
