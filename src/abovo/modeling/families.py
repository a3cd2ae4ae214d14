"""Turn a model configuration into a transformers causal language model with seeded, untrained weights.

Both families are classes of the transformers library, so that what is trained here loads in every tool that reads the
Hugging Face layout with no code of ours. Nothing is downloaded.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from abovo.errors import AbovoError
from abovo.modeling.parameters import padded_vocabulary
from abovo.tokenizing.special import EOS, PAD


def build_model(model: Mapping[str, Any], vocabulary_size: int, sequence_length: int, seed: int) -> PreTrainedModel:
    """A model with initial weights drawn from `seed`, in float32 on the CPU.

    `model` is a file of config/models. Weights are N(0, `initializer_range`^2), so the first loss is close to the
    logarithm of the vocabulary. Raises AbovoError for a family that is not in FAMILIES.
    """
    family = model["family"]
    if family not in FAMILIES:
        raise AbovoError(f"unknown family {family!r}", "model", f"use one of {', '.join(FAMILIES)}")
    torch.manual_seed(seed)
    built = FAMILIES[family](model, padded_vocabulary(vocabulary_size), sequence_length)
    _scale_residual(built, RESIDUAL_INIT[model.get("residual_init", "normal")](model["layers"]))
    return built


@torch.no_grad()
def _scale_residual(model: nn.Module, factor: float) -> None:
    """Multiply the matrices whose results are added to the residual stream, two in each block."""
    for name, weight in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            weight.mul_(factor)


def _common(model: Mapping[str, Any], rows: int, sequence_length: int) -> dict[str, Any]:
    return {
        "vocab_size": rows,
        "hidden_size": model["hidden_size"],
        "intermediate_size": model["feed_forward"],
        "num_hidden_layers": model["layers"],
        "num_attention_heads": model["heads"],
        "num_key_value_heads": model["key_value_heads"],
        "head_dim": model["head_dim"],
        "max_position_embeddings": sequence_length,
        "rope_parameters": {"rope_type": "default", "rope_theta": float(model["rope_theta"])},
        "rms_norm_eps": 1e-6,
        "initializer_range": model["initializer_range"],
        "tie_word_embeddings": model["tied_embeddings"],
        "attention_bias": False,
        "use_cache": False,
        "bos_token_id": None,
        "eos_token_id": EOS,
        "pad_token_id": PAD,
        "attn_implementation": "sdpa",
    }


def _qwen3(model: Mapping[str, Any], rows: int, sequence_length: int) -> PreTrainedModel:
    """RMSNorm, QK-norm, SwiGLU, RoPE, grouped-query attention (Qwen3 technical report, arXiv:2505.09388)."""
    return Qwen3ForCausalLM(Qwen3Config(**_common(model, rows, sequence_length)))


def _llama(model: Mapping[str, Any], rows: int, sequence_length: int) -> PreTrainedModel:
    """As qwen3 without QK-norm (LLaMA, arXiv:2302.13971)."""
    return LlamaForCausalLM(LlamaConfig(**_common(model, rows, sequence_length)))


FAMILIES: dict[str, Callable[[Mapping[str, Any], int, int], PreTrainedModel]] = {"qwen3": _qwen3, "llama": _llama}
# By which the initial weights of the two matrices per block that write into the residual stream are multiplied:
# nothing; 1/sqrt(2 L) so that the stream's variance does not grow with depth (GPT-2); zero, so that every block starts
# as the identity (Goyal et al. 2017 for the last norm of a block, arXiv:1706.02677).
RESIDUAL_INIT: dict[str, Callable[[int], float]] = {
    "normal": lambda layers: 1.0,
    "scaled": lambda layers: (2 * layers) ** -0.5,
    "zero": lambda layers: 0.0,
}
