"""Turn the text of a kept document into what each filter of its corpus says to it."""

from typing import Any

from abovo.corpus.characters import comparable
from abovo.corpus.filters import FILTERS, chosen
from abovo.corpus.traits import figures
from abovo.corpus.words import words_of
from abovo.settings.corpus import Corpus


def decisions(text: str, corpus: Corpus, source: str) -> dict[str, Any]:
    """What was `measured`, and per filter that the corpus asks of the source whether the text `passes`.

    Lengths are those of the cleaned text, as the filters saw it; a document that lost lines to decontamination is
    measured without them.
    """
    settings, low, high = corpus.sources[source], corpus.min_characters, corpus.max_characters
    passes = {"characters": low <= len(text) and (high is None or len(text) <= high)}
    measured: dict[str, Any] = {"characters": len(text)}
    names = chosen(settings.filters)
    if names:
        limits = corpus.thresholds
        (found,) = figures([text], words_of([comparable(text).encode()]), settings.language, limits)
        measured |= {
            key: round(value, 4) if isinstance(value, float) else value
            for key, value in found._asdict().items()
            if key not in ("text", "language", "repeats_words")
        }
        passes |= {name: bool(FILTERS[name](found, limits)) for name in names}
    return {"measured": measured, "passes": passes}
