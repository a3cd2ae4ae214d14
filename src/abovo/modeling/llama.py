"""The family llama: as qwen3 without the norms of queries and keys (LLaMA, arXiv:2302.13971)."""

from abovo.modeling.decoder import Decoder


class Llama(Decoder):
    """Attention as it is, without norms of its own."""

    model_type = "llama"
    gguf = "LLAMA"
    head_norms = 0
    classes = ("LlamaConfig", "LlamaForCausalLM")


LLAMA = Llama()
