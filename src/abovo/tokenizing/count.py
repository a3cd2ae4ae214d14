"""Choose what the texts of a corpus are measured with: a tokenizer or bytes, and evaluation sets to be kept apart."""

from pathlib import Path

from abovo.corpus.decontaminate import open_decontaminator
from abovo.corpus.examine import Measures, TokenCounter
from abovo.errors import AbovoError
from abovo.provenance.manifest import Manifest
from abovo.settings.corpus import Corpus
from abovo.tokenizing.load import load_tokenizer


def measures_of(corpus: Corpus, tokenizer: Path | None = None, decontamination: Path | None = None) -> Measures:
    """What the corpus' settings ask for, from the artifacts at these paths."""
    count, inputs = token_counter(corpus, tokenizer)
    decontaminator, more = open_decontaminator(corpus, decontamination)
    return Measures(count, {**inputs, **more}, decontaminator)


def token_counter(corpus: Corpus, path: Path | None) -> tuple[TokenCounter, dict[str, Manifest]]:
    """The counting function, one for the end of the document included, and the manifests that it depends on."""
    if corpus.count_with is None:
        ratio = corpus.bytes_per_token or 1.0
        return lambda texts: [round(len(text.encode()) / ratio) + 1 for text in texts], {}
    if path is None:
        raise AbovoError(f"counts with tokenizer {corpus.count_with}", "corpus", "give its --tokenizer")
    tokenizer = load_tokenizer(path)
    return lambda texts: [len(ids) + 1 for ids in tokenizer.encode_arrays(texts)], {"tokenizer": tokenizer.manifest}
