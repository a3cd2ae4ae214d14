"""What the families share that are decoders of the transformers library: attention, a gated feed-forward, RMSNorm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from abovo.modeling.family import Activations, Family, Kept, Operations, Step
from abovo.modeling.layout import read_config
from abovo.modeling.parameters import ParameterCount
from abovo.provenance.files import write_json
from abovo.settings.keys import key
from abovo.settings.model import Model

WRITERS = ("o_proj", "down_proj")


@dataclass(frozen=True, kw_only=True)
class DecoderSettings(Model):
    """The shape of a decoder. The vocabulary comes from the run's tokenizer."""

    hidden_size: int = key("Width of the residual stream (D)", minimum=8, maximum=2**20)
    layers: int = key("Number of blocks (L)", minimum=1, maximum=10**4)
    heads: int = key("Query heads (H)", minimum=1, maximum=2**14)
    key_value_heads: int = key("Key and value heads (K), a divisor of the query heads", minimum=1, maximum=2**14)
    head_dim: int = key("Width of a head (h)", minimum=2, maximum=2**14, multiple_of=2)
    feed_forward: int = key("Width of the feed-forward layer (F)", minimum=8, maximum=2**22)
    tied_embeddings: bool = key("Whether the output matrix is the embedding matrix")
    rope_theta: float = key("Base of the rotary position embedding", default=10000, above=0)


class Decoder(Family):
    """A family whose classes transformers has; `head_norms` RMSNorms over a head stand in each layer's attention.

    What is trained here loads in every tool that reads the Hugging Face layout, with no code of ours.
    """

    settings = DecoderSettings
    adapter_parts: Mapping[str, Sequence[str]] = {
        "attention": ("q_proj", "k_proj", "v_proj", "o_proj"),
        "feed_forward": ("gate_proj", "up_proj", "down_proj"),
    }
    head_norms: int
    # Names of the classes of its configuration and its model in transformers.
    classes: tuple[str, str]

    def count(self, model: DecoderSettings, rows: int) -> ParameterCount:
        """V D (twice where untied), L (2 D H h + 2 D K h + norms of heads + 3 D F + 2 D) and D; no biases."""
        width, head = model.hidden_size, model.head_dim
        table = rows * width
        return ParameterCount(
            embedding=table,
            output=0 if model.tied_embeddings else table,
            parts={
                "attention": model.layers * 2 * width * head * (model.heads + model.key_value_heads),
                "feed_forward": model.layers * 3 * width * model.feed_forward,
                "norms": model.layers * (self.head_norms * head + 2 * width) + width,
            },
        )

    def operations(self, model: DecoderSettings, rows: int, sequence_length: int) -> Operations:
        """2 N for the products with weights, the output matrix included (Kaplan et al. 2020, arXiv:2001.08361, section
        2.1, counts no table at all), and 4 L H h T for the attention scores (PaLM, Chowdhery et al. 2022,
        arXiv:2204.02311, appendix B), which counts full rows although the mask is causal.
        """
        return Operations(
            weights=2 * (self.count(model, rows).non_embedding + rows * model.hidden_size),
            other=4 * model.layers * model.heads * model.head_dim * sequence_length,
        )

    def activations(self, model: DecoderSettings) -> Activations:
        """Per block the inputs of norms and products, queries, keys and values with the output of attention, gate and
        up and their product; in half precision also what was cast.
        """
        width, inner = model.hidden_size, model.feed_forward
        heads, few = model.heads, model.key_value_heads
        queries, keys = heads * model.head_dim, few * model.head_dim
        normed = self.head_norms / 2  # of queries and keys
        return Activations(
            blocks=model.layers,
            stream=width,
            single=Kept(4 * width + (3 + normed) * (queries + keys) + 3 * inner + heads + normed * (heads + few)),
            half=Kept(
                2 * width + (3 + normed) * (queries + keys) + 4 * inner,
                2 * width + heads + normed * (queries + keys + heads + few),
            ),
            compiled=Kept(3 * (width + queries + keys + inner), width + heads + normed * (heads + few)),
        )

    def adapter_sides(self, model: DecoderSettings) -> Mapping[str, Sequence[tuple[int, int]]]:
        width, inner = model.hidden_size, model.feed_forward
        queries, keys = model.heads * model.head_dim, model.key_value_heads * model.head_dim
        attention = ((width, queries), (width, keys), (width, keys), (queries, width))
        sides = {"attention": attention, "feed_forward": ((width, inner), (width, inner), (inner, width))}
        return {
            name: model.layers * [side]
            for part, names in self.adapter_parts.items()
            for name, side in zip(names, sides[part], strict=True)
        }

    def build(self, model: DecoderSettings, rows: int, sequence_length: int, eos: int | None, pad: int | None) -> Any:
        """Weights are N(0, `initializer_range`^2), so the first loss is close to the logarithm of the vocabulary."""
        import transformers

        config, causal = (getattr(transformers, name) for name in self.classes)
        return causal(
            config(
                vocab_size=rows,
                hidden_size=model.hidden_size,
                intermediate_size=model.feed_forward,
                num_hidden_layers=model.layers,
                num_attention_heads=model.heads,
                num_key_value_heads=model.key_value_heads,
                head_dim=model.head_dim,
                max_position_embeddings=sequence_length,
                rope_parameters={"rope_type": "default", "rope_theta": float(model.rope_theta)},
                rms_norm_eps=1e-6,
                initializer_range=model.initializer_range,
                tie_word_embeddings=model.tied_embeddings,
                attention_bias=False,
                use_cache=False,
                bos_token_id=None,
                eos_token_id=eos,
                pad_token_id=pad,
                attn_implementation="sdpa",
            )
        )

    def open(self, folder: Path) -> Any:
        import transformers

        from abovo.modeling.weights import open_weights

        return open_weights(getattr(transformers, self.classes[1]), folder)

    def save(self, model: Any, folder: Path) -> None:
        """With the base of the rotary embedding where transformers 4 looks for it, too: it would take 10,000."""
        super().save(model, folder)
        config = read_config(folder)
        write_json(folder / "config.json", {**config, "rope_theta": config["rope_parameters"]["rope_theta"]})

    def prepare(self, model: Any) -> None:
        from abovo.modeling.forward import use_training_form
        from abovo.modeling.passes import use_few_passes

        use_few_passes(model)
        use_training_form(model)

    def blocks(self, model: Any) -> Sequence[Any]:
        return model.model.layers

    def residual_writers(self, model: Any) -> Sequence[Any]:
        return [module.weight for name, module in model.named_modules() if name.endswith(WRITERS)]

    def embeddings(self, model: Any) -> Sequence[Any]:
        return [model.get_input_embeddings().weight]

    def output(self, model: Any) -> Any:
        return model.get_output_embeddings().weight

    def step(self, model: Any, ids: Any, cache: Any = None, *, keep: bool = False) -> Step:
        from abovo.modeling.forward import hidden_states, in_training_form

        if cache is None and not keep and in_training_form(model):
            return Step(hidden_states(model, ids))
        found = model.model(input_ids=ids, past_key_values=cache, use_cache=keep)
        return Step(found.last_hidden_state, found.past_key_values if keep else None)

    def tree(self, model: Any, ids: Any, depths: Any, visible: Any) -> Any:
        from abovo.modeling.apart import mask_of
        from abovo.modeling.forward import hidden_states, in_training_form

        if in_training_form(model):
            return hidden_states(model, ids, depths, visible[:, None])
        mask = mask_of(model, visible)
        return model.model(input_ids=ids, attention_mask=mask, position_ids=depths, use_cache=False).last_hidden_state
