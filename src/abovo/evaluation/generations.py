"""Let a model continue the prompts of an evaluation, and describe the form of what it wrote."""

from collections.abc import Iterator

from abovo.evaluation.bench import Bench, Given
from abovo.evaluation.evidence import PROMPTS, ScoredSet
from abovo.evaluation.generate import generate
from abovo.evaluation.smoke import smoke_score

NAME = "generations"


def score_generations(bench: Bench, _: Given) -> Iterator[ScoredSet]:
    """One row per prompt: the prompt as the model was given it, what it wrote, and whether it stopped by itself."""
    settings, opened = bench.settings, bench.opened
    chat = bool(opened.tokenizer.chat_template)
    bench.progress.update("greedy generations", force=True)
    assert settings.new_tokens is not None, "a job of generations says how long they are"
    written = generate(opened, settings.prompts, chat, settings.new_tokens)
    rows = [{"set": NAME, "id": str(number), **one} for number, one in enumerate(written)]
    protocol = bench.protocol(how="greedy, after the chat template of the model where it has one")
    yield ScoredSet(NAME, PROMPTS, rows, protocol, {"smoke": smoke_score(written)})
