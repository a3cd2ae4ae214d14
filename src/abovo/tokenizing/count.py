"""Choose how a corpus counts tokens: with a tokenizer, or by bytes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from abovo.errors import AbovoError
from abovo.provenance.manifest import Manifest
from abovo.tokenizing.load import load_tokenizer


def token_counter(
    corpus: Mapping[str, Any], path: Path | None
) -> tuple[Callable[[Sequence[str]], list[int]], dict[str, Manifest]]:
    """The counting function, one for the end of the document included, and the manifests that it depends on."""
    if corpus["count_with"] is None:
        ratio = corpus["bytes_per_token"]
        return lambda texts: [round(len(text.encode()) / ratio) + 1 for text in texts], {}
    if path is None:
        raise AbovoError(f"counts with tokenizer {corpus['count_with']}", "corpus", "give its --tokenizer")
    tokenizer = load_tokenizer(path)
    return lambda texts: [len(ids) + 1 for ids in tokenizer.encode_arrays(texts)], {"tokenizer": tokenizer.manifest}
