"""Turn what phases and stages draw from corpora into tokens and epochs, and into a warning of text that is repeated."""

from collections.abc import Iterable, Mapping
from typing import Any

from abovo.config.budget import REPEATED, USEFUL_EPOCHS, times_drawn
from abovo.config.tuning import TEXT, recipe_of, text_of, weights_of
from abovo.planning.disk import corpus_tokens
from abovo.settings.corpus import Corpus
from abovo.settings.cpt import Cpt
from abovo.settings.run import AnyRun

Drawn = dict[str, dict[str, Any]]


def drawn(tokens: Mapping[str, float], corpora: Mapping[str, Corpus]) -> Drawn:
    """Tokens that are drawn from each corpus, and how often it is then gone through (null: it has no token budget)."""
    found = {}
    for name, wanted in tokens.items():
        available = corpus_tokens(corpora[name])
        found[name] = {"tokens": round(wanted), "epochs": round(wanted / available, 3) if available else None}
    return found


def drawn_by(run: AnyRun, stage: str, corpora: Mapping[str, Corpus]) -> dict[str, Drawn]:
    """What a stage after pretraining draws from corpora: `text` among its sets and, of continued pretraining, the
    `corpora` that it is for."""
    recipe = recipe_of(run, stage)
    share = recipe.beside.share if recipe.beside else 0.0
    text = {name: share * part * recipe.tokens for name, part in text_of(run, stage).items()}
    found = {"text": drawn(text, corpora)}
    if isinstance(recipe, Cpt):
        weights = {name: weight for name, weight in weights_of(run, stage).items() if not name.startswith(TEXT)}
        whole = sum(weights.values()) / (1 - share)
        found["corpora"] = drawn({name: part / whole * recipe.tokens for name, part in weights.items()}, corpora)
    return found


def repeated(stretches: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Epochs of the corpora that phases and stages together go through more often than repeating still teaches."""
    parts = [stretch.get(part, {}) for stretch in stretches for part in ("corpora", "text")]
    times = times_drawn({name: one["epochs"] or 0.0 for name, one in part.items()} for part in parts)
    return {name: round(count, 3) for name, count in times.items() if count > USEFUL_EPOCHS}


def describe_repeated(plan: Mapping[str, Any]) -> list[str]:
    """A warning for each of them."""
    return [
        f"warning: {name} is drawn {times:.3g} times; {REPEATED}, so add text or train on fewer tokens"
        for name, times in plan["repeated"].items()
    ]
