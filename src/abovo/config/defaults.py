"""Turn the size of a model and its token budget into the batch and learning rate that a recipe leaves to `auto`."""

from dataclasses import replace

from abovo.errors import AbovoError
from abovo.settings.training import Training


def batch_tokens(tokens: int, sequence_length: int) -> int:
    """Tokens per step for a budget of `tokens`: 0.58 D^0.571, rounded to whole rows.

    Step Law (Li et al. 2025, arXiv:2503.04715), fitted on AdamW runs of 60M to 1B parameters; smaller ones extrapolate.
    """
    return max(1, round(0.58 * tokens**0.571 / sequence_length)) * sequence_length


def learning_rate(non_embedding_parameters: int, tokens: int) -> float:
    """Peak learning rate of AdamW, 1.79 N^-0.713 D^0.307 by the same law, to two digits."""
    return float(f"{1.79 * non_embedding_parameters**-0.713 * tokens**0.307:.1e}")


def fill_in(recipe: Training, tokens: int, sequence_length: int, size: int | None, where: object) -> Training:
    """A recipe with numbers in place of `auto`, for a budget of `tokens` and a model of `size` parameters outside its
    embedding tables. Raises AbovoError where the rate needs the size and it is None.
    """
    if recipe.batch_tokens == "auto":
        recipe = replace(recipe, batch_tokens=batch_tokens(tokens, sequence_length))
    if recipe.optimizer.learning_rate == "auto":
        if not size:
            mend = "add non_embedding_parameters to the model, or give learning_rate a number"
            raise AbovoError("learning_rate: auto needs the size of the model", where, mend)
        recipe = replace(recipe, optimizer=replace(recipe.optimizer, learning_rate=learning_rate(size, tokens)))
    return recipe


def refuse_auto(recipe: Training, where: object, stage: str) -> None:
    """Raise AbovoError where the recipe of a stage that trains on has `auto`: the law is of fresh weights."""
    if "auto" in (recipe.batch_tokens, recipe.optimizer.learning_rate):
        mend = "give batch_tokens and learning_rate numbers in the recipe that it names"
        raise AbovoError("auto values are for pretraining only", f"{where}, key {stage}", mend)
