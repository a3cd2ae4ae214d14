"""Turn the blocks of a decoder into their training form: the same weights and values, fewer and larger operations.

transformers writes a block for every use of it. In training there is no cache, no mask but the causal one, and rows are
whole, so queries, keys and values are one product and gate and up another, whose matrices are joined as they are used:
under their names they stay apart, for checkpoints, optimizers, adapters and exports. Where matrices cannot be joined
(adapters lie on them, or ZeRO 3 gathers them module by module) each is multiplied by its own module. Modules whose
matrices are joined are not called: hooks on them hear nothing.
"""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from abovo.modeling.passes import few_passes, gated, rotated

Tables = tuple[Tensor, Tensor]
HALVES = (torch.bfloat16, torch.float16)
# The first CUDA devices with flash attention. Only it takes fewer keys than queries; others would fall to plain math.
FLASH = (8, 0)


class TrainingBlock(nn.Module):
    """The forward pass of a block of transformers' llama and qwen3, to be mixed into its class."""

    has_flash: bool
    self_attn: Any
    mlp: Any
    input_layernorm: nn.Module
    post_attention_layernorm: nn.Module

    def forward(
        self,
        hidden_states: Tensor,
        *others: Any,
        tables: Tables | None = None,
        visible: Tensor | None = None,
        **named: Any,
    ) -> Tensor:
        """`hidden_states` [rows, length, width]; `tables` are cosines and sines, [1 or rows, length, width of a head];
        `visible` says what an id sees where that is not all before it, bool [rows, 1, length, length].

        Without tables it is transformers that calls, who may have a cache or a mask, and whose form it then takes.
        """
        if tables is None:
            return super().forward(hidden_states, *others, **named)
        hidden = hidden_states
        normed = self.input_layernorm(hidden)
        hidden = hidden + _attention(self.self_attn, normed, tables, visible, has_flash=self.has_flash)
        return hidden + _feed_forward(self.mlp, self.post_attention_layernorm(hidden))


def use_training_form(model: Any) -> None:
    """Give the blocks of `model` their training form, if its configuration asks for nothing that this one lacks.

    A block keeps its modules and its place: what compiles, recomputes or spreads blocks finds them as they were.
    """
    config = model.config
    plain = (
        config._attn_implementation == "sdpa"
        and set(getattr(config, "layer_types", None) or ["full_attention"]) == {"full_attention"}
        and not config.attention_dropout
        and config.hidden_act == "silu"
    )
    if not plain or in_training_form(model):
        return
    device = next(model.parameters()).device
    has_flash = device.type == "cpu" or (
        device.type == "cuda" and torch.version.hip is None and torch.cuda.get_device_capability(device) >= FLASH
    )
    for block in model.model.layers:
        block.__class__ = _training_class(type(block))  # type: ignore[arg-type]  # classes can be hashed
        block.has_flash = has_flash


def in_training_form(model: Any) -> bool:
    return isinstance(model.model.layers[0], TrainingBlock)


@cache
def _training_class(kind: type) -> type:
    # transformers wraps `forward` of every subclass of its layers, for blocks that are computed again
    return type(kind.__name__, (TrainingBlock, kind), {})


def hidden_states(model: Any, ids: Tensor, positions: Tensor | None = None, visible: Tensor | None = None) -> Tensor:
    """What the blocks of a model in training form make of `ids` [rows, length]: [rows, length, width], normalised.

    Ids stand one after the other and see those before them, or at `positions` [rows, length] and see what is `visible`.
    transformers' own pass would look for several documents in a row, which makes a GPU wait.
    """
    decoder = model.model
    hidden = decoder.embed_tokens(ids)
    places = torch.arange(ids.shape[1], device=ids.device)[None] if positions is None else positions
    tables = decoder.rotary_emb(hidden, places)
    more = {} if visible is None else {"visible": visible}
    for block in decoder.layers:
        hidden = block(hidden, tables=tables, **more)
    return decoder.norm(hidden)


def _attention(
    attention: Any, hidden: Tensor, tables: Tables, visible: Tensor | None = None, *, has_flash: bool
) -> Tensor:
    parts = _products(hidden, attention.q_proj, attention.k_proj, attention.v_proj)
    queries, keys, values = (part.unflatten(-1, (-1, attention.head_dim)) for part in parts)
    if hasattr(attention, "q_norm"):
        queries, keys = attention.q_norm(queries), attention.k_norm(keys)
    # norms and tables may be in float32 where products are not
    queries, keys = (_turned(part, tables).to(values.dtype).transpose(1, 2) for part in (queries, keys))
    values = values.transpose(1, 2)
    groups = attention.num_key_value_groups
    # on a GPU flash attention, which alone takes fewer keys than queries there, takes no mask
    on_cpu = queries.device.type == "cpu"
    grouped = groups > 1 and has_flash and (on_cpu or (visible is None and queries.dtype in HALVES))
    if groups > 1 and not grouped:
        keys, values = (part.repeat_interleave(groups, 1) for part in (keys, values))
    mixed = F.scaled_dot_product_attention(
        queries, keys, values, visible, is_causal=visible is None, scale=attention.scaling, enable_gqa=grouped
    )
    return attention.o_proj(mixed.transpose(1, 2).flatten(2))


def _turned(heads: Tensor, tables: Tables) -> Tensor:
    """Rotary positions (arXiv:2104.09864) on [rows, length, heads, width]; the second half of a head is the first's
    partner."""
    cosines, sines = (table.unsqueeze(2) for table in tables)
    if few_passes(heads):
        return rotated(heads, cosines, sines)
    half = heads.shape[-1] // 2
    cosines, sines = cosines[..., :half], sines[..., :half]
    first, second = heads[..., :half], heads[..., half:]
    return torch.cat((first * cosines - second * sines, second * cosines + first * sines), -1)


def _feed_forward(layer: Any, hidden: Tensor) -> Tensor:
    if not _can_join(hidden, layer.gate_proj, layer.up_proj):
        return layer(hidden)
    joined = _joined(hidden, layer.gate_proj, layer.up_proj)
    if few_passes(joined):
        return layer.down_proj(gated(joined))
    gate, up = joined.chunk(2, -1)
    return layer.down_proj(F.silu(gate) * up)


def _products(hidden: Tensor, *layers: Any) -> Any:
    if not _can_join(hidden, *layers):
        return [layer(hidden) for layer in layers]
    return _joined(hidden, *layers).split([len(layer.weight) for layer in layers], -1)


def _joined(hidden: Tensor, *layers: Any) -> Tensor:
    return F.linear(hidden, torch.cat([layer.weight for layer in layers]))


def _can_join(hidden: Tensor, *layers: Any) -> bool:
    """Whether these are plain matrices that lie whole in memory (DeepSpeed gives those that do not a number), and
    joining them costs a GPU no memory: autocast would keep a copy of each for the backward pass anyway."""
    copied = hidden.device.type == "cpu" or torch.is_autocast_enabled(hidden.device.type)
    return copied and all(
        type(layer) is nn.Linear and layer.bias is None and not hasattr(layer.weight, "ds_id") for layer in layers
    )
