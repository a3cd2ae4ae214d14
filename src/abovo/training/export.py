"""Turn a trained model into a folder in the Hugging Face layout: weights, configuration and tokenizer."""

from pathlib import Path

import torch
from transformers import GenerationConfig, PreTrainedModel

from abovo.modeling.family import family_of
from abovo.tokenizing.huggingface import export_tokenizer
from abovo.tokenizing.load import Tokenizer
from abovo.tokenizing.special import EOS, IM_END, PAD


def export_model(
    model: PreTrainedModel, tokenizer: Tokenizer, folder: Path, sequence_length: int, *, chat: bool
) -> None:
    """Write config.json, generation_config.json, model.safetensors (float32) and the tokenizer's files.

    A chat model stops at EOS or <|im_end|> and carries the ChatML template; a base model stops at EOS.
    """
    model.to(torch.device("cpu"), torch.float32)  # type: ignore[arg-type]
    ends = [EOS, IM_END] if chat else EOS
    model.config.use_cache = True
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=PAD, bos_token_id=None)
    family_of(model).save(model, folder)
    export_tokenizer(tokenizer, folder, sequence_length, chat)
