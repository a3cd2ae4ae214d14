"""Turn a trained model into a folder in the Hugging Face layout: weights, configuration and tokenizer."""

from pathlib import Path

import torch
from transformers import GenerationConfig, PreTrainedModel

from abovo.modeling.family import family_of
from abovo.tokenizing.carry import carry_tokenizer
from abovo.tokenizing.export import export_tokenizer
from abovo.tokenizing.load import AdoptedTokenizer, Tokenizer, TrainedTokenizer
from abovo.tokenizing.templates import Template, stop_ids


def export_model(
    model: PreTrainedModel, tokenizer: Tokenizer, folder: Path, sequence_length: int, template: Template | None = None
) -> None:
    """Write config.json, generation_config.json, model.safetensors (float32) and the tokenizer's files.

    A model with a chat template carries it and stops at EOS or at the end of an answer; one without stops at EOS.
    """
    model.to(torch.device("cpu"), torch.float32)  # type: ignore[arg-type]
    stops = list(stop_ids(tokenizer, template))
    model.config.use_cache = True
    model.generation_config = GenerationConfig(
        eos_token_id=stops if template else stops[0], pad_token_id=tokenizer.pad, bos_token_id=None
    )
    family_of(model).save(model, folder)
    if isinstance(tokenizer, TrainedTokenizer):
        export_tokenizer(tokenizer, folder, sequence_length, template)
    elif isinstance(tokenizer, AdoptedTokenizer):
        carry_tokenizer(tokenizer, folder, template)
