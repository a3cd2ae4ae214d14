"""Check that the keys of a corpus fit together, which a schema that sees them one by one cannot."""

from abovo.errors import AbovoError
from abovo.settings.corpus import Corpus

# What a source of each type cannot do without.
NEEDED = {"package": "packages", "local": "paths", "huggingface": "dataset"}


def check_corpus(corpus: Corpus, where: str) -> None:
    """Raise AbovoError where keys that a schema sees one by one do not fit together."""
    weights, sources = corpus.weights, corpus.sources
    unknown = sorted(set(weights) - set(sources))
    if unknown:
        raise AbovoError(f"weight for an unknown source: {unknown[0]}", f"{where}, key weights", "name it in sources")
    if corpus.tokens is not None:
        missing = sorted(name for name in sources if name not in weights and sources[name].tokens is None)
        if missing:
            mend = "give it a weight, or tokens of its own"
            raise AbovoError(f"no weight for the source {missing[0]}", f"{where}, key weights", mend)
        total = sum(weights.values())
        if weights and abs(total - 1) > 1e-6:
            raise AbovoError(f"the weights add up to {total:g}", f"{where}, key weights", "make them add up to 1")
    if (corpus.bytes_per_token is None) == (corpus.count_with is None):
        raise AbovoError("needs either bytes_per_token or count_with", where, "set exactly one of the two")
    if corpus.max_characters is not None and corpus.max_characters < corpus.min_characters:
        raise AbovoError("is less than min_characters", f"{where}, key max_characters", "raise it")
    near = corpus.deduplication.near
    if near and near.permutations % near.bands:
        what = f"{near.permutations} permutations cannot be cut into {near.bands} equal bands"
        raise AbovoError(what, f"{where}, key deduplication.near", "make permutations a multiple of bands")
    for name, source in sources.items():
        key = NEEDED[source.type]
        if not getattr(source, key):
            what = f"a source of type {source.type} needs `{key}`"
            raise AbovoError(what, f"{where}, key sources.{name}", f"set {key}")
