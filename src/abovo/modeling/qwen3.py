"""The family qwen3: RMSNorm, QK-norm, SwiGLU, RoPE, grouped-query attention (technical report, arXiv:2505.09388)."""

from abovo.modeling.decoder import Decoder


class Qwen3(Decoder):
    """Queries and keys are normalised head by head."""

    model_type = "qwen3"
    gguf = "QWEN3"
    head_norms = 2
    classes = ("Qwen3Config", "Qwen3ForCausalLM")


QWEN3 = Qwen3()
