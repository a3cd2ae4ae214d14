"""Turn a run's settings into the bytes that its artifacts will take on the disk."""

from typing import Any

from abovo.config.tokenizers import vocabulary_of
from abovo.modeling.parameters import ParameterCount
from abovo.settings.corpus import Corpus
from abovo.settings.stages import PlanSettings

# Master weights and AdamW's two moments, float32 each; Muon keeps one moment less, so this is an upper bound for it.
CHECKPOINT_BYTES_PER_PARAMETER = 12
MODEL_BYTES_PER_PARAMETER = 4
# Text in JSON lines against the same in zstd level 3, measured on web text and speeches.
COMPRESSION = 3.0
# What a token stands for where a corpus names no figure of its own: 32K-entry BPE on English text.
BYTES_PER_TOKEN = 4.2


def disk(settings: PlanSettings, count: ParameterCount, steps: int) -> dict[str, Any]:
    """Bytes per kind of artifact, and their sum at the moment when most of them exist."""
    run, recipe = settings.run, settings.run.training
    kept = recipe.keep_last + (steps // recipe.keep_every if recipe.keep_every else 0)
    id_bytes = 2 if vocabulary_of(run.tokenizer, run.name) <= 1 << 16 else 4
    parts = {"shards": 0, "bins": 0}
    for corpus in settings.corpora.values():
        tokens = corpus_tokens(corpus) or run.tokens
        parts["shards"] += round(tokens * (corpus.bytes_per_token or BYTES_PER_TOKEN) / COMPRESSION)
        parts["bins"] += tokens * id_bytes
    earlier = len(run.phases) - 1  # phases that keep a model and the state that the next one goes on from
    # one more exists while it replaces the oldest
    parts["checkpoints"] = (kept + 1 + earlier) * CHECKPOINT_BYTES_PER_PARAMETER * count.total
    # models on the way: in the live state, and as they are exported from there
    on_the_way = 2 * len(run.checkpoints.all)
    parts["models"] = (1 + len(run.tunings) + earlier + on_the_way) * MODEL_BYTES_PER_PARAMETER * count.total
    return {**parts, "total": sum(parts.values()), "checkpoints_kept": kept}


def corpus_tokens(corpus: Corpus) -> int | None:
    """The budget of a corpus (tokens): its own, or the sum over its sources; None where one of them is unlimited."""
    if corpus.tokens:
        return corpus.tokens
    budgets = [source.tokens for source in corpus.sources.values()]
    return sum(tokens for tokens in budgets if tokens) if all(budgets) else None
