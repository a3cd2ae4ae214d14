"""Turn a decoder in the Hugging Face layout and a token table into one GGUF file of a given type."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from abovo.errors import AbovoError
from abovo.exporting.chat import Chat
from abovo.exporting.quantize import FORMS, Quantized, quantize
from abovo.exporting.vocabulary import Vocabulary
from abovo.modeling.family import family_of_type
from abovo.modeling.layout import read_config

# Those whose rotary embedding turns neighbours in llama.cpp, where transformers turns the two halves of a head.
TURNS_NEIGHBOURS = ("llama",)


def architecture_of(config: Mapping[str, Any], where: Path) -> str:
    """The name of a model's family in gguf.MODEL_ARCH. Raises AbovoError for one that llama.cpp has not, or has with
    another rotary embedding than a plain one."""
    found = config.get("model_type")
    family = family_of_type(found)
    if family is None or family.gguf is None:
        raise AbovoError(f"model_type {found!r} is not written as GGUF", where, "use hf/")
    if config.get("rope_parameters", {}).get("rope_type", "default") != "default":
        raise AbovoError("its rotary embedding is scaled, which is not written as GGUF", where, "use hf/")
    return family.gguf


def write_gguf(
    model: Path, vocabulary: Vocabulary, form: str, path: Path, about: Mapping[str, str], chat: Chat | None = None
) -> None:
    """Write the model of a folder as `form`, one of FORMS; `about` are further general keys of the file (name, ...).

    Raises AbovoError where the family is not one of llama.cpp's, or a tensor has no place in it.
    """
    import gguf

    config = read_config(model)
    architecture = architecture_of(config, model / "config.json")
    arch = getattr(gguf.MODEL_ARCH, architecture)
    # tensors wait on the disk, not in memory
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch], use_temp_file=True)
    writer.add_file_type(FORMS[form].file_type)
    for key, text in sorted(about.items()):
        writer.add_string(f"general.{key}", text)
    _write_shape(writer, config)
    _write_vocabulary(writer, vocabulary, chat)
    names = gguf.get_tensor_name_map(arch, config["num_hidden_layers"])
    for name, values in sorted(_tensors(model)):
        place = names.get_name(name, try_suffixes=(".weight",))
        if place is None:
            raise AbovoError(f"tensor {name} has no place in GGUF's {architecture}", model, "use hf/")
        packed = quantize(_turned(name, values, config), place, form, config["num_hidden_layers"])
        _write_tensor(writer, place, packed)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_shape(writer: Any, config: Mapping[str, Any]) -> None:
    rotary = config.get("rope_parameters", config).get("rope_theta", 10000.0)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(float(rotary))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])


def _write_vocabulary(writer: Any, vocabulary: Vocabulary, chat: Chat | None) -> None:
    """SentencePiece's merges by score; nothing is added to a text, in front or behind."""
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(list(vocabulary.pieces))
    writer.add_token_scores(list(vocabulary.scores))
    writer.add_token_types(list(vocabulary.kinds))
    writer.add_unk_token_id(vocabulary.unknown)
    writer.add_eos_token_id(vocabulary.eos)
    writer.add_pad_token_id(vocabulary.pad)
    writer.add_add_space_prefix(False)
    writer.add_remove_extra_whitespaces(False)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    if chat is not None:
        writer.add_chat_template(chat.template)
        writer.add_eot_token_id(chat.ends[0])


def _tensors(model: Path) -> Iterator[tuple[str, np.ndarray]]:
    """The weights of a folder in single precision, without an output matrix that is the embedding's."""
    import torch
    from safetensors import safe_open

    tied = read_config(model).get("tie_word_embeddings", False)
    for path in sorted(model.glob("*.safetensors")):
        with safe_open(path, framework="pt") as weights:
            for name in weights.keys():  # noqa: SIM118  (no mapping)
                if not (tied and name == "lm_head.weight"):
                    yield name, weights.get_tensor(name).to(torch.float32).numpy()


def _turned(name: str, values: np.ndarray, config: Mapping[str, Any]) -> np.ndarray:
    """Queries and keys with the rows of each head in the order in which llama.cpp turns them."""
    kinds = {"q_proj.weight": "num_attention_heads", "k_proj.weight": "num_key_value_heads"}
    heads = next((config[key] for end, key in kinds.items() if name.endswith(end)), None)
    if heads is None or config["model_type"] not in TURNS_NEIGHBOURS:
        return values
    rows, width = values.shape
    return values.reshape(heads, 2, rows // heads // 2, width).swapaxes(1, 2).reshape(rows, width)


def _write_tensor(writer: Any, place: str, packed: Quantized) -> None:
    writer.add_tensor(place, packed.data, raw_shape=packed.data.shape, raw_dtype=packed.type)
