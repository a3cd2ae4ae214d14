"""Turn ids into logits by integrators in place of attention: the INL family ("integrator neural language" model).

The file stands alone: transformers and torch are all that it needs, so that it can lie beside weights elsewhere.

B rows, S ids, width D, T integration steps, C hidden units of a controller. One block, on a stream x [B, S, D]:

    (1) u = LN1(x)
    (2) h = context(u): the mean of W_c u_j + b_c over j <= s, or causal attention over LN_a(x)
    (3) x_0 = u, v_0 = 0; T times a step of the integrator with the same weights
    (4) x <- x + dropout(x_T);  x <- x + W_2 gelu(W_1 LN2(x) + b_1) + b_2

One step t, z = [h; x; v], where m_alpha, m_beta, m_gate and m_v are four controllers 3D -> C -> D with a ReLU:

    (5) alpha = sigmoid(m_alpha) (1 - exp(-kappa |x - mu| / sqrt(D)))
    (6) beta = softplus(m_beta),  g = sigmoid(m_gate)
    (7) v' = alpha v + (1 - alpha) m_v - beta (x - mu) + A sin(gamma t + phi)
    (8) x' = x + dt g v'

A channel is stable where |alpha| < 1 and dt g beta < 2 (1 + alpha). Nothing is written while the model
runs: t is handed on, so blocks may be computed again and replicas agree.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

# Biases of controllers at the beginning: sigmoid(1.386) = .8, softplus(-.4328) = .5, sigmoid(0) = .5, m_v = 0
CONTROLLERS = {"alpha": 1.386, "beta": -0.4328, "gate": 0.0, "velocity": 0.0}
# Of the last matrices of controllers: small, but not zero, which would leave the first ones without a gradient
LAST_STD = 0.01
# Below what a mean square rounds to; keeps the root's gradient finite where x = mu
TINY = 1e-12
SHAPE: dict[str, Any] = {
    "vocab_size": 50257, "hidden_size": 512, "num_hidden_layers": 6, "intermediate_size": 2048,
    "integration_steps": 5, "controller_size": 64, "controllers": "fused", "context": "causal_mean",
    "num_attention_heads": None, "embedding_rank": None, "dropout": 0.0, "step_size": 0.1, "excitation": 0.03,
    "kappa": 1.0, "position_scale": 1.0, "chunk": None, "stop_tolerance": None, "stop_after": 1,
    "layer_norm_eps": 1e-5, "initializer_range": 0.02, "max_position_embeddings": 1024, "use_cache": True,
}  # fmt: skip


class InlConfig(PretrainedConfig):
    """The shape of a model; `max_position_embeddings` is the length that it was trained on, which bounds nothing."""

    model_type = "inl"

    def __init__(self, **values: Any) -> None:
        for name, default in SHAPE.items():
            setattr(self, name, values.pop(name, default))
        values["tie_word_embeddings"] = self.embedding_rank is None
        super().__init__(**values)


class InlCache:
    """What decoding on needs of the ids that were read: of each layer the sum over them and their number, whatever
    their number is (causal_mean), or their keys and values (attention)."""

    is_compileable = False

    def __init__(self) -> None:
        self.length = 0
        self.layers: dict[int, tuple[Tensor, Tensor]] = {}

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.length

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Give each row what the row of this number had, as beam search asks."""
        self.layers = {layer: (first[beam_idx], second[beam_idx]) for layer, (first, second) in self.layers.items()}


class Sight(NamedTuple):
    """What ids see of each other: all before them; without padding, `padding` bool [B, all ids]; or as `visible` says,
    bool [B or 1, 1, S, S]."""

    padding: Tensor | None = None
    visible: Tensor | None = None


class CausalMean(nn.Module):
    """Equation (2), `context: causal_mean`: h_s = mean of W_c u_j + b_c over j <= s."""

    def __init__(self, config: InlConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.project = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, u: Tensor, sight: Sight, cache: InlCache | None = None) -> Tensor:
        """u [B, S, D] -> h [B, S, D]; sums are in float32 at least."""
        k = self.project(u)
        wide = k.to(torch.promote_types(k.dtype, torch.float32))
        if sight.visible is not None:
            seen = sight.visible[:, 0].to(wide.dtype)
            return ((seen @ wide) / seen.sum(-1, keepdim=True).clamp(min=1)).to(k.dtype)
        if sight.padding is None:
            count = torch.arange(1, k.shape[1] + 1, device=k.device, dtype=wide.dtype)[None, :, None]
        else:
            counted = sight.padding[:, -k.shape[1] :, None].to(wide.dtype)
            wide, count = wide * counted, counted.cumsum(1)
        total = wide.cumsum(1)
        if cache is not None:
            if self.layer in cache.layers:
                before, number = cache.layers[self.layer]
                total, count = total + before[:, None], count + number[:, None]
            cache.layers[self.layer] = total[:, -1], count[:, -1].expand(len(k), 1)
        return (total / count.clamp(min=1)).to(k.dtype)


class CausalAttention(nn.Module):
    """Equation (2), `context: attention`: multi-head attention of LN_a(x) over the ids before, with biases."""

    def __init__(self, config: InlConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.heads = layer, config.num_attention_heads
        width = config.hidden_size
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, u: Tensor, sight: Sight, cache: InlCache | None = None) -> Tensor:
        """[B, S, D] -> h [B, S, D]."""
        parts = (project(u) for project in (self.q_proj, self.k_proj, self.v_proj))
        queries, keys, values = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        if cache is not None:
            if self.layer in cache.layers:
                keys, values = (
                    torch.cat(pair, 2) for pair in zip(cache.layers[self.layer], (keys, values), strict=True)
                )
            cache.layers[self.layer] = keys, values
        length, total = queries.shape[2], keys.shape[2]
        visible = sight.visible
        if visible is None and (sight.padding is not None or 1 < length < total):
            places = torch.arange(total, device=u.device)
            visible = places <= places[total - length :, None]
            if sight.padding is not None:  # padding sees itself, since it has to see something
                visible = visible & (sight.padding[:, None, None] | (places == places[total - length :, None]))
        causal = visible is None and length > 1
        found = F.scaled_dot_product_attention(queries, keys, values, visible, is_causal=causal)
        return self.o_proj(found.transpose(1, 2).flatten(2))


def last_matrices(config: InlConfig) -> nn.ModuleList:
    """C -> D of each controller, which know what their biases are at the beginning."""
    found = nn.ModuleList(nn.Linear(config.controller_size, config.hidden_size) for _ in CONTROLLERS)
    for linear, bias in zip(found, CONTROLLERS.values(), strict=True):
        linear.initial_bias = bias  # type: ignore[assignment]
    return found


class FusedControllers(nn.Module):
    """The four controllers side by side; W_h h, which no step changes, is multiplied once per block, and z is never
    put together."""

    def __init__(self, config: InlConfig) -> None:
        super().__init__()
        width, hidden = config.hidden_size, len(CONTROLLERS) * config.controller_size
        self.enter_context = nn.Linear(width, hidden)
        self.enter_state = nn.Linear(width, hidden, bias=False)
        self.enter_velocity = nn.Linear(width, hidden, bias=False)
        self.leave = last_matrices(config)

    def fixed(self, h: Tensor) -> Tensor:
        """What no step changes, [..., 4C]."""
        return self.enter_context(h)

    def forward(self, fixed: Tensor, x: Tensor, v: Tensor) -> list[Tensor]:
        """m_alpha, m_beta, m_gate and m_v, [..., D] each."""
        hidden = F.relu(fixed + self.enter_state(x) + self.enter_velocity(v))
        return [leave(part) for leave, part in zip(self.leave, hidden.chunk(len(CONTROLLERS), -1), strict=True)]


class IndependentControllers(nn.Module):
    """The same with four networks that each read z = [h; x; v]: more operations for the same values."""

    def __init__(self, config: InlConfig) -> None:
        super().__init__()
        width, hidden = config.hidden_size, config.controller_size
        self.enter = nn.ModuleDict({f"read_{name}": nn.Linear(3 * width, hidden) for name in CONTROLLERS})
        self.leave = last_matrices(config)

    def fixed(self, h: Tensor) -> Tensor:
        return h

    def forward(self, fixed: Tensor, x: Tensor, v: Tensor) -> list[Tensor]:
        z = torch.cat([fixed, x, v], -1)
        return [leave(F.relu(enter(z))) for enter, leave in zip(self.enter.values(), self.leave, strict=True)]


class Integrator(nn.Module):
    """Equations (3) and (5) to (8): T steps that share their weights, each id by itself."""

    def __init__(self, config: InlConfig) -> None:
        super().__init__()
        self.config = config
        fused = config.controllers == "fused"
        self.controllers = (FusedControllers if fused else IndependentControllers)(config)
        self.mu, self.gamma, self.phi = (nn.Parameter(torch.empty(config.hidden_size)) for _ in range(3))

    def forward(self, u: Tensor, h: Tensor, counted: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Equation (3): u and h [B, S, D] -> x_T [B, S, D], and the sums over ids that are `counted`, bool [B, S], of
        what `measures` tells of each step, [T, 3]. States are in float32 at least: steps are too small for a half."""
        x = u.to(torch.promote_types(u.dtype, torch.float32))
        v, fixed, forces = torch.zeros_like(x), self.controllers.fixed(h), self.forces()  # type: ignore[operator]
        if self.config.stop_tolerance is not None and not self.training and counted is None:
            return self._until_still(x, v, fixed, forces).to(u.dtype), None
        found = []
        for force in forces:
            x, v, beta = self.step(fixed, x, v, force, u.dtype)
            if counted is not None:
                found.append((self.measures(x, v, beta) * counted[..., None]).flatten(0, -2).sum(0))
        return x.to(u.dtype), torch.stack(found) if found else None

    def step(self, fixed: Tensor, x: Tensor, v: Tensor, force: Tensor, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """Equations (5) to (8): x and v [..., D] of step t -> those of t + 1, and beta, with controllers in `dtype`."""
        alpha, beta, gate, velocity = (m.to(x.dtype) for m in self.controllers(fixed, x.to(dtype), v.to(dtype)))
        away = x - self.mu
        distance = (away.square().mean(-1, keepdim=True) + TINY).sqrt()  # |x - mu| / sqrt(D)
        alpha = -torch.sigmoid(alpha) * torch.expm1(-self.config.kappa * distance)
        beta = F.softplus(beta)
        v = torch.lerp(velocity, v, alpha) - beta * away + force
        return x + self.config.step_size * torch.sigmoid(gate) * v, v, beta

    def forces(self) -> Tensor:
        """A sin(gamma t + phi) of equation (7) for t = 0 ... T - 1, [T, D]."""
        times = torch.arange(self.config.integration_steps, device=self.phi.device, dtype=torch.float32)
        return self.config.excitation * torch.sin(times[:, None] * self.gamma + self.phi)

    def measures(self, x: Tensor, v: Tensor, beta: Tensor) -> Tensor:
        """(9): means over the channels, [..., 3]: (x - mu)^2, v^2, and the energy (v^2 + beta (x - mu)^2) / 2."""
        away, speed = (x - self.mu).square(), v.square()
        return torch.stack([part.mean(-1) for part in (away, speed, (speed + beta * away) / 2)], -1)

    def _until_still(self, x: Tensor, v: Tensor, fixed: Tensor, forces: Tensor) -> Tensor:
        """The steps of the ids that still move: one that moved by less than the tolerance (|x' - x| / sqrt(D)) stays
        where it is from there on, after `stop_after` steps at the earliest."""
        shape, dtype, tolerance = x.shape, fixed.dtype, self.config.stop_tolerance or 0.0
        x, v, fixed = (part.flatten(0, -2) for part in (x, v, fixed))
        moving, final = torch.arange(len(x), device=x.device), x.clone()
        for number, force in enumerate(forces, 1):
            before = x
            x, v, _ = self.step(fixed, x, v, force, dtype)
            final[moving] = x
            if number >= self.config.stop_after:
                goes_on = (x - before).square().mean(-1).sqrt() >= tolerance
                moving, x, v, fixed = moving[goes_on], x[goes_on], v[goes_on], fixed[goes_on]
        return final.view(shape)


class InlBlock(GradientCheckpointingLayer):
    """Equations (1) to (4)."""

    def __init__(self, config: InlConfig, layer: int) -> None:
        super().__init__()
        width = config.hidden_size
        attends = config.context == "attention"
        self.chunk = config.chunk
        self.context_norm = nn.LayerNorm(width, eps=config.layer_norm_eps) if attends else None
        self.context = (CausalAttention if attends else CausalMean)(config, layer)
        self.integrator_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.integrator = Integrator(config)
        self.dropout = nn.Dropout(config.dropout)
        self.feed_forward_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.up_proj = nn.Linear(width, config.intermediate_size)
        self.down_proj = nn.Linear(config.intermediate_size, width)

    def forward(
        self, x: Tensor, sight: Sight, past_key_values: InlCache | None = None, counted: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """x [B, S, D] -> the stream after the block, and what the integrator measured of ids that are counted."""
        u = self.integrator_norm(x)
        h = self.context(u if self.context_norm is None else self.context_norm(x), sight, past_key_values)
        if self.chunk is None or self.chunk >= x.shape[1]:
            return self._by_itself(x, u, h, counted)
        # a part of the ids at a time has to fit
        parts = zip(*(whole.split(self.chunk, 1) for whole in (x, u, h, counted) if whole is not None), strict=True)
        found = [checkpoint(self._by_itself, *part, use_reentrant=False) for part in parts]
        x = torch.cat([x for x, _ in found], 1)
        return x, None if counted is None else torch.stack([measures for _, measures in found]).sum(0)

    def _by_itself(self, x: Tensor, u: Tensor, h: Tensor, counted: Tensor | None = None) -> tuple[Tensor, Any]:
        state, measures = self.integrator(u, h, counted)
        x = x + self.dropout(state)
        return x + self.down_proj(F.gelu(self.up_proj(self.feed_forward_norm(x)))), measures


class InlPreTrainedModel(PreTrainedModel):
    """Initial weights: matrices and table N(0, `initializer_range`^2), the integrators' as the constants above say."""

    config_class = InlConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ("InlBlock",)  # type: ignore[assignment]
    _supports_sdpa = True
    _is_stateful = True  # a cache cannot be cut back, which assisted generation would ask for

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            initial = getattr(module, "initial_bias", None)
            nn.init.normal_(module.weight, std=self.config.initializer_range if initial is None else LAST_STD)
            if getattr(module, "bias", None) is not None:
                nn.init.constant_(module.bias, initial or 0.0)  # type: ignore[arg-type]
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, Integrator):
            nn.init.zeros_(module.mu)
            nn.init.normal_(module.gamma, 1.0, 0.1)
            nn.init.normal_(module.phi, 0.0, 2 * torch.pi)


class InlModel(InlPreTrainedModel):
    """Embedding, positions, blocks and the last norm."""

    def __init__(self, config: InlConfig) -> None:
        super().__init__(config)
        rank, width = config.embedding_rank, config.hidden_size
        self.embed_tokens = nn.Embedding(config.vocab_size, rank or width)
        self.embed_up = nn.Linear(rank, width, bias=False) if rank else None
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(InlBlock(config, layer) for layer in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_init()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, position_ids: Tensor | None = None,
        past_key_values: InlCache | None = None, use_cache: bool | None = None, **_: Any,
    ) -> BaseModelOutputWithPast:  # fmt: skip
        """`input_ids` [B, S]; `attention_mask` [B, ids so far] is 0 at padding, or says what each id sees, bool
        [B or 1, 1, S, S]; `position_ids` [B or 1, S] count from 0 in each row."""
        use_cache = self.config.use_cache if use_cache is None else use_cache
        cache = (past_key_values or InlCache()) if use_cache or past_key_values is not None else None
        sight, positions = self.sight(input_ids, attention_mask, position_ids, cache)
        x = self.begin(input_ids, positions)
        for block in self.layers:
            x, _ = block(x, sight, past_key_values=cache)
        if cache is not None:
            cache.length += input_ids.shape[1]
        return BaseModelOutputWithPast(self.norm(x), past_key_values=cache)  # type: ignore[arg-type]

    def begin(self, ids: Tensor, positions: Tensor) -> Tensor:
        """E[id] + scale times the sines and cosines of its position (arXiv:1706.03762, section 3.5), [B, S, D]."""
        x = self.embed_tokens(ids) if self.embed_up is None else self.embed_up(self.embed_tokens(ids))
        half = self.config.hidden_size // 2
        angles = positions[..., None] * 10_000.0 ** (torch.arange(half, device=ids.device) / -half)
        places = torch.cat([angles.sin(), angles.cos()], -1) * self.config.position_scale
        return self.dropout(x + places.to(x.dtype))

    @staticmethod
    def sight(ids: Tensor, mask: Tensor | None, positions: Tensor | None, cache: InlCache | None) -> tuple[Any, Any]:
        """What ids see, and where they stand, [B or 1, S]."""
        seen, length = cache.length if cache is not None else 0, ids.shape[1]
        visible, padding = (mask.bool() if mask is not None and mask.ndim == sides else None for sides in (4, 2))
        if positions is None and padding is not None:
            positions = (padding.long().cumsum(1) - 1).clamp(min=0)[:, -length:]
        if positions is None:
            positions = torch.arange(seen, seen + length, device=ids.device)[None]
        return Sight(padding, visible), positions


class InlForCausalLM(InlPreTrainedModel, GenerationMixin):
    """A model with its output matrix: the table, or one of its own beside a table of low rank."""

    def __init__(self, config: InlConfig) -> None:
        super().__init__(config)
        self.model = InlModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False) if config.embedding_rank else None
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.model.embed_tokens

    def get_output_embeddings(self) -> nn.Module:
        return self.model.embed_tokens if self.lm_head is None else self.lm_head

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, position_ids: Tensor | None = None,
        past_key_values: InlCache | None = None, use_cache: bool | None = None, labels: Tensor | None = None,
        logits_to_keep: int = 0, **_: Any,
    ) -> CausalLMOutputWithPast:  # fmt: skip
        """Logits [B, S, V] of what follows each id, or of the last `logits_to_keep`; `labels` [B, S] are shifted
        here."""
        found = self.model(input_ids, attention_mask, position_ids, past_key_values, use_cache)
        logits = F.linear(found.last_hidden_state[:, -logits_to_keep:], self.get_output_embeddings().weight)  # type: ignore[arg-type]
        loss = None if labels is None else F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=found.past_key_values)

    def prepare_inputs_for_generation(  # type: ignore[override]
        self, input_ids, past_key_values=None, attention_mask=None, use_cache=None, **_
    ):
        """Only the ids that were not read yet, and the cache of those that were."""
        fresh = input_ids if past_key_values is None else input_ids[:, past_key_values.length :]
        kept = {"past_key_values": past_key_values, "use_cache": use_cache}
        return {"input_ids": fresh, "attention_mask": attention_mask, **kept}

    def _prepare_cache_for_generation(self, generation_config, model_kwargs, *others) -> None:  # type: ignore[override]
        """The library's caches hold keys and values of each id; this family has its own, which `forward` makes."""
