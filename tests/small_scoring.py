"""Models of ours and of another's that are opened to be scored, and lm-eval's own class on them."""

import shutil
from types import SimpleNamespace

import small_world as world
import torch

from abovo.modeling.opened import open_scored
from abovo.provenance.manifest import read_manifest

# How far a summed log-likelihood (nats) may be from lm-eval's.
NEAR = 1e-4


def made(folder):
    """The folder of an untrained model of ours in the Hugging Face layout."""
    corpus = world.make_corpus(folder)
    tokenizer = world.make_tokenizer(folder, corpus)
    model = world.make_model(folder, "pretrain", tokenizer, world.make_packed(folder, corpus, tokenizer))
    return model.path.parent / "model"


def made_beside(small, folder, **other):
    """The folder of another such model with the tokenizer of the small one, made in `folder` by `other` arguments."""
    (packed,) = small.parents[2].glob("packed/small/small/*/manifest.json")
    tokenizer = small.parents[2] / "tokenizers/small/tokenizer_config.json"
    return world.make_model(folder, "sft", tokenizer, read_manifest(packed), **other).path.parent / "model"


def sharpened(opened):
    """An untrained model says nearly the same of everything; with larger weights what it attends to counts."""
    with torch.no_grad():
        for parameter in opened.model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(6)
    return opened


def foreign(small, folder, config):
    """An untrained model of a class of transformers with the tokenizer of the small one, opened as any other folder."""
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(small / name, folder)
    return sharpened(open_scored(folder, 64))


def two_layers_of_gpt2(small, folder):
    """A class that no family of ours answers for."""
    from transformers import GPT2Config

    config = GPT2Config(vocab_size=640, n_positions=64, n_embd=32, n_layer=2, n_head=2, eos_token_id=2, bos_token_id=2)
    return foreign(small, folder, config)


def harness(opened):
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=opened.model, tokenizer=opened.tokenizer, batch_size=8, max_length=opened.context)


def requests(*arguments):
    return [SimpleNamespace(args=one) for one in arguments]
