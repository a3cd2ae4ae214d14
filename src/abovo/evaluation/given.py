"""Turn a folder in the Hugging Face layout, wherever it came from, into the manifest of a model that can be scored."""

from pathlib import Path
from typing import Any

from abovo.modeling.layout import check_context, check_whole, is_trusted, model_folder, read_config, verify_model
from abovo.provenance.code import Script
from abovo.provenance.hashing import sha256_of_files
from abovo.provenance.manifest import Manifest, describe_folder
from abovo.provenance.products import Job, Made, produce
from abovo.tokenizing.files import vocabularies_among

SCHEMA = "abovo/model/1"


def describe_model(
    model: Path | Manifest, context: int | None, output: Path, script: Script | Path, trusted: bool = False
) -> Manifest:
    """Write the manifest of a model whose files stay where they are, of a folder or of another run; `context` (tokens)
    is what it is scored with, by default all positions that it has. Code in a folder may run where it is `trusted`, in
    another run's where that trusts it.

    Raises AbovoError where there are no weights in safetensors, no tokenizer, or fewer positions than `context`.
    """
    folder = model_folder(model) if isinstance(model, Manifest) else model
    found = describe_folder(folder)
    config = read_config(folder)
    length = check_context(folder, context)
    hashes = {
        "model_sha256": _hash_of(found, check_whole(folder)),
        "tokenizer_sha256": _hash_of(found, vocabularies_among(found.names(), folder)),
    }
    inputs = {"folder": found}
    if isinstance(model, Manifest):
        verify_model(model)
        hashes, inputs = {name: model[name] for name in hashes}, {**inputs, "model": model}
        trusted = is_trusted(model)
    fields: dict[str, Any] = {
        "folder": folder.as_posix(),
        **hashes,
        "sequence_length": length,
        "model_type": config.get("model_type"),
        **({"trust_remote_code": True} if trusted else {}),
    }
    # its bytes are those of the folder, which has no manifest of its own
    settings = {"model_directory": None if "model" in inputs else folder.as_posix(), "sequence_length": context}
    settings |= {"trust_remote_code": True} if trusted else {}
    job = Job(output, SCHEMA, inputs, settings, script)
    return produce(job, lambda _: Made({}, fields))


def _hash_of(folder: Manifest, names: list[str]) -> str:
    return sha256_of_files({name: folder["outputs"][name]["sha256"] for name in names})
