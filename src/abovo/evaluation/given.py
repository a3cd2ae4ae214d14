"""Turn a folder in the Hugging Face layout, wherever it came from, into the manifest of a model that can be scored."""

from pathlib import Path
from typing import Any

from abovo.errors import AbovoError
from abovo.modeling.layout import check_whole, positions_of, read_config
from abovo.provenance.code import Script
from abovo.provenance.hashing import sha256_of_files
from abovo.provenance.manifest import Manifest, describe_folder
from abovo.provenance.products import Job, Made, produce
from abovo.tokenizing.adopt import vocabularies_among

SCHEMA = "abovo/model/1"


def describe_model(folder: Path, context: int | None, output: Path, script: Script | Path) -> Manifest:
    """Write the manifest of a model whose files stay where they are; `context` (tokens) is what it is scored with, by
    default all positions that it has.

    Raises AbovoError where there are no weights in safetensors, no tokenizer, or fewer positions than `context`.
    """
    found = describe_folder(folder)
    config = read_config(folder)
    positions = positions_of(config)
    if context is None and positions is None:
        mend = "set sequence_length in the run, or --context"
        raise AbovoError("does not say how many positions the model has", folder / "config.json", mend)
    if context is not None and positions is not None and context > positions:
        what = f"a context of {context} tokens is longer than the model's {positions} positions"
        raise AbovoError(what, folder / "config.json", f"ask for at most {positions}")
    weights = _hash_of(found, check_whole(folder))
    tokenizer = _hash_of(found, vocabularies_among(found.names(), folder))
    fields: dict[str, Any] = {
        "folder": folder.as_posix(),
        "model_sha256": weights,
        "tokenizer_sha256": tokenizer,
        "sequence_length": context or positions,
        "model_type": config.get("model_type"),
    }
    # its bytes are those of the folder, which has no manifest of its own
    settings = {"model_directory": folder.as_posix(), "sequence_length": context}
    job = Job(output, SCHEMA, {"folder": found}, settings, script)
    return produce(job, lambda _: Made({}, fields))


def _hash_of(folder: Manifest, names: list[str]) -> str:
    return sha256_of_files({name: folder["outputs"][name]["sha256"] for name in names})
