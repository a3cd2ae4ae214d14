"""Turn documents into questions whose answers follow from the document's id and text: the table of fact kinds."""

from collections.abc import Callable, Iterable, Iterator

from abovo.corpus.shards import Document
from abovo.errors import AbovoError
from abovo.facts.era import era_facts
from abovo.facts.fact import Fact
from abovo.facts.functions import function_facts
from abovo.facts.speech import full_names, speech_facts
from abovo.provenance.hashing import sha256_json

# Each takes documents in the corpus' order and a number of facts per document, and needs memory for one document.
FACTS: dict[str, Callable[[Iterable[Document], int], Iterator[Fact]]] = {
    "era": era_facts,
    "speech": speech_facts,
    "functions": function_facts,
}


def make_facts(kind: str, documents: Iterable[Document], per_document: int) -> Iterator[Fact]:
    """The facts of one kind; documents that carry none of them are passed over."""
    if kind not in FACTS:
        raise AbovoError(f"there is no fact kind {kind!r}", "facts", f"known: {', '.join(sorted(FACTS))}")
    return FACTS[kind](documents, per_document)


def revision(kinds: Iterable[str]) -> dict[str, str]:
    """What the kinds read besides the documents, as sha256: part of the fingerprint of whatever holds their facts."""
    return {kind: sha256_json(dict(full_names())) for kind in kinds if kind == "speech"}
