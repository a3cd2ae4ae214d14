"""Turn a model of ours into the GGUF files that a real llama.cpp reads alike; a file that it does not is not kept."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from abovo.corpus.shards import read_documents
from abovo.errors import AbovoError
from abovo.exporting.chat import Chat
from abovo.exporting.gguf_file import architecture_of, write_gguf
from abovo.exporting.llama_cpp import PACKAGE, installed_version
from abovo.exporting.proof import PROMPTS, TALK, TOKENS, Expected, continued, prove
from abovo.exporting.quantize import can_quantize
from abovo.exporting.vocabulary import vocabulary_of
from abovo.modeling.layout import read_config
from abovo.provenance.manifest import Manifest
from abovo.tokenizing.huggingface import markers
from abovo.tokenizing.load import TrainedTokenizer
from abovo.tokenizing.odd import ODD_STRINGS

# Validation documents whose ids are compared: the first ones of each corpus, and a text's characters at most.
DOCUMENTS, LONGEST = 200, 20_000
# Tokens of a text that a prompt begins with, characters of it that are asked about.
BEGINNING, ASKED = 16, 40


def write_forms(
    model: Path, tokenizer: TrainedTokenizer, chat: Chat | None, corpora: Sequence[Manifest], forms: Sequence[str],
    folder: Path, name: str, about: Mapping[str, str],
) -> tuple[dict[str, Any], dict[str, str]]:  # fmt: skip
    """Write folder/{name}-{form}.gguf for each form. The result is (form -> its proof, form -> why it is not there)."""
    reason = _reason(model, tokenizer)
    if reason:
        return {}, dict.fromkeys(forms, reason)
    config = read_config(model)
    vocabulary = vocabulary_of(tokenizer.processor, config["vocab_size"], tokenizer.eos, tokenizer.pad)
    marked = markers(tokenizer.processor)
    expected = expected_of(model, tokenizer, chat, corpora, config["max_position_embeddings"])
    folder.mkdir(parents=True)
    proofs, absent = {}, {}
    for form in forms:
        if not can_quantize(form):
            absent[form] = f"{PACKAGE} lends no code that makes its blocks"
            continue
        path = folder / f"{name}-{form}.gguf"
        write_gguf(model, vocabulary, form, path, about, chat)
        found = prove(path, expected, vocabulary, marked, exact=form == "f32")
        if isinstance(found, str):
            path.unlink()
            absent[form] = found
        else:
            proofs[form] = asdict(found)
    return proofs, absent


def _reason(model: Path, tokenizer: TrainedTokenizer) -> str | None:
    """Why no form can be written or proved; None where all can."""
    try:
        architecture_of(read_config(model), model / "config.json")
    except AbovoError as error:
        return error.what
    kind = tokenizer.manifest.data.get("model_type")
    if kind != "bpe":
        return f"llama.cpp has no tokenizer that gives the ids of ours of kind {kind}"
    if installed_version() is None:
        return f"no llama.cpp to prove it with: pip install {PACKAGE}"
    return None


def expected_of(
    model: Path, tokenizer: TrainedTokenizer, chat: Chat | None, corpora: Sequence[Manifest], context: int
) -> Expected:
    """What the model itself says of validation documents and odd strings, and after the beginnings of some; of a model
    for chats every other prompt is a question."""
    from abovo.modeling.family import open_model

    documents = [text for corpus in corpora for text in _documents(corpus)]
    beginnings = list(itertools.islice(itertools.cycle(documents or ODD_STRINGS), PROMPTS))
    prompts = [tokenizer.encode(text)[:BEGINNING] for text in beginnings]
    if chat is not None:
        for place in range(0, PROMPTS, 2):
            turn = {"role": "user", "content": beginnings[place][:ASKED] or "Why?"}
            prompts[place] = tokenizer.encode(chat.render([turn], True))
    prompts = [prompt[-max(1, context - TOKENS - 1) :] for prompt in prompts if prompt]
    banned = sorted({tokenizer.eos, *(tokenizer.processor.piece_to_id(one) for one in markers(tokenizer.processor))})
    return Expected(
        ids={text: tokenizer.encode(text) for text in [*documents, *ODD_STRINGS]},
        prompts=prompts,
        continued=continued(open_model(model), prompts, banned, context),
        banned=banned,
        asked=chat.render(TALK, True) if chat else None,
        context=context,
    )


def _documents(corpus: Manifest) -> Iterator[str]:
    for number, document in enumerate(read_documents(corpus, "val")):
        if number == DOCUMENTS:
            return
        yield document.text[:LONGEST]
