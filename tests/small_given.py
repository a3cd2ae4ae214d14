"""Models as others publish them: folders in the Hugging Face layout with tokenizers of their own kind, and jobs that
train them on."""

import contextlib
import shutil
from pathlib import Path

import small_world as world
from small_training import recipe

from abovo.evaluation.given import describe_model
from abovo.modeling.family import name_of_family, open_model
from abovo.modeling.layout import read_config
from abovo.packing.pack import pack_corpus
from abovo.provenance.manifest import read_manifest
from abovo.settings.keys import plain
from abovo.settings.tokenizer import AdoptedSettings
from abovo.tokenizing.adopt import adopt_tokenizer
from abovo.tokenizing.load import load_tokenizer
from abovo.training.job import read_inputs, run_job
from abovo.training.loss import summed_loss
from abovo.training.sets import open_rows
from abovo.training.task import read_settings

SCRIPT = Path("workflow/scripts/train.py").absolute()
LENGTH, STEPS = 64, 8
RECIPE = recipe(batch_tokens=4 * LENGTH, checkpoint_interval=3, validation_interval=4, tensorboard=False)

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
    return save_model(folder, tokenizer, config)


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
    return save_model(folder, tokenizer, config)


def save_model(folder, tokenizer, config):
    """A model of a configuration with fresh weights, beside its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


class Given:
    """A copy of a folder with all that is trained from it: its tokenizer, rows of text in its ids, its manifest."""

    def __init__(self, source: Path, folder: Path, trusted: bool = False) -> None:
        self.folder, self.model = folder, folder / "elsewhere"
        shutil.copytree(source, self.model)
        with contextlib.chdir(folder):
            settings = AdoptedSettings(model_directory="elsewhere")
            self.tokenizer = adopt_tokenizer(settings, Path("tokenizer/tokenizer_config.json"), SCRIPT).path
            tokenizer, corpus = load_tokenizer(self.tokenizer), world.make_corpus(Path())
            self.packed = pack_corpus(corpus, tokenizer, LENGTH, Path("packed/manifest.json"), SCRIPT).path
            self.start = describe_model(Path("elsewhere"), LENGTH, Path("given/manifest.json"), SCRIPT, trusted).path

    def train(self, name, start=None, **changes):
        """The manifest of what was trained."""
        values = {
            "training": plain(RECIPE), "engine": {"kind": "torch", "device": "cpu"},
            "phases": [{"name": "sft", "sets": {"text/small": 1.0}, "share": 1.0}],
            "adapters": {"rank": 2, "alpha": 4, "dropout": 0.1}, "tokens": STEPS * 4 * LENGTH,
            "sequence_length": LENGTH, "family": name_of_family(read_config(self.model)["model_type"]),
            "threads": 1, **changes,
        }  # fmt: skip
        output = Path(name) / "manifest.json"
        with contextlib.chdir(self.folder):
            inputs = read_inputs(self.tokenizer, {"text/small": self.packed}, start or self.start)
            run_job(read_settings(values), inputs, output, output.parent / "state", SCRIPT)
            return read_manifest(output)

    def loss(self, model):
        """What a model says of the rows that are held out (nats per target)."""
        with contextlib.chdir(self.folder):
            batch = open_rows(read_manifest(self.packed), "val").batch()
        return summed_loss(open_model(model).eval(), batch).item() / batch.targets
