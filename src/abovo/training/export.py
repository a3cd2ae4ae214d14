"""Turn a trained model into a folder in the Hugging Face layout: weights, configuration and tokenizer."""

import copy
import logging
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel

from abovo.errors import first_line
from abovo.modeling.family import family_of
from abovo.tokenizing.carry import carry_tokenizer
from abovo.tokenizing.export import export_tokenizer
from abovo.tokenizing.load import AdoptedTokenizer, Tokenizer, TrainedTokenizer
from abovo.tokenizing.templates import Template, stop_ids

log = logging.getLogger("abovo")


def export_model(
    model: PreTrainedModel, tokenizer: Tokenizer, folder: Path, sequence_length: int, template: Template | None = None
) -> None:
    """Write config.json, generation_config.json, model.safetensors (float32) and the tokenizer's files.

    A model with a chat template carries it and stops at EOS or at the end of an answer; one without stops at EOS.
    """
    model.to(torch.device("cpu"), torch.float32)  # type: ignore[arg-type]
    stops = list(stop_ids(tokenizer, template))
    model.config.use_cache = True
    ends = stops if template else stops[0]
    if isinstance(tokenizer, TrainedTokenizer):
        config = GenerationConfig(eos_token_id=ends, pad_token_id=tokenizer.pad, bos_token_id=None)
    else:
        config = _generation(model, tokenizer, stops)
    model.generation_config = config
    family_of(model).save(model, folder)
    if isinstance(tokenizer, TrainedTokenizer):
        export_tokenizer(tokenizer, folder, sequence_length, template)
    elif isinstance(tokenizer, AdoptedTokenizer):
        carry_tokenizer(tokenizer, folder, template)


def _generation(model: PreTrainedModel, tokenizer: Tokenizer, stops: list[int]) -> GenerationConfig:
    """How a model that was trained elsewhere writes, by its own word, stopping at its own ends and at `stops`."""
    own: Any = copy.deepcopy(model.generation_config)
    named = own.eos_token_id if isinstance(own.eos_token_id, list) else [own.eos_token_id]
    own.eos_token_id = list(dict.fromkeys([*stops, *(one for one in named if one is not None)]))
    own.pad_token_id = tokenizer.pad if own.pad_token_id is None else own.pad_token_id
    try:
        own.validate(strict=True)
    except ValueError as error:
        log.warning("how the model is to write is not kept: %s", first_line(error))
        ends = {"eos_token_id": own.eos_token_id, "pad_token_id": own.pad_token_id, "bos_token_id": own.bos_token_id}
        return GenerationConfig(**ends)
    return own
