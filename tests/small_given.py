"""Models as others publish them: folders in the Hugging Face layout with tokenizers of their own kind."""

from pathlib import Path

import small_world as world

# What the tokenizer of a chat model carries: a beginning of every text, roles between pieces, an end of each turn.
TURNS = (
    "{{ bos_token }}{% for message in messages %}{{ '<|turn|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|done|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|done|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|turn|>assistant\n' }}{% endif %}"
)
POSITIONS = 128


def byte_tokenizer(special, **named):
    """A byte-level BPE tokenizer as GPT-2's and its heirs', of 400 pieces, with `special` pieces before all others."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=list(special), initial_alphabet=alphabet)
    made.train_from_iterator([one.text for one in world.documents()], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, **named)


def gpt2_folder(folder: Path) -> Path:
    """A GPT-2: no pad, one piece that begins and ends texts, no chat template, more rows than pieces."""
    from transformers import GPT2Config

    tokenizer = byte_tokenizer(("<|endoftext|>",), bos_token="<|endoftext|>", eos_token="<|endoftext|>")
    config = GPT2Config(
        vocab_size=len(tokenizer) + 7, n_positions=POSITIONS, n_embd=32, n_layer=2, n_head=2,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return _save(folder, tokenizer, config)


def llama_folder(folder: Path) -> Path:
    """A Llama for chats: a piece before every text, one added piece beyond the others, a chat template of its own."""
    from tokenizers import processors
    from transformers import LlamaConfig

    tokenizer = byte_tokenizer(
        ("<s>", "</s>", "<pad>", "<|turn|>"), bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|done|>"]})
    begin = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.backend_tokenizer.post_processor = begin
    tokenizer.chat_template = TURNS
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=POSITIONS, bos_token_id=0, eos_token_id=1, pad_token_id=2,
    )  # fmt: skip
    return _save(folder, tokenizer, config)


def _save(folder, tokenizer, config):
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
