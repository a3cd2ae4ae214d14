"""Turn the token budget of a corpus into a share for each source."""

from abovo.settings.corpus import Corpus


def source_budget(corpus: Corpus, name: str) -> int | None:
    """Tokens that a source may give: its own `tokens`, else its weight of the corpus' `tokens`; None for no limit."""
    own = corpus.sources[name].tokens
    if own is not None:
        return own
    return None if corpus.tokens is None else round(corpus.tokens * corpus.weights[name])
