"""Turn the models that a run asks for on the way into a refusal before its first job, where they cannot be had."""

from abovo.config.budget import Budget
from abovo.errors import AbovoError
from abovo.settings.run import Run


def check_checkpoints(run: Run, plan: Budget, where: str) -> None:
    """Raise AbovoError for an amount that the budget cannot reach, and for what may end before it.

    Words of a corpus are known when it is packed, and the training refuses by that; here a word is at least one token.
    """
    asked, key = run.checkpoints, f"{where}, key checkpoints"
    if not asked.all:
        return
    beyond = next((amount for amount in sorted(asked.at) if amount > plan.tokens), None)
    if beyond is not None:
        what = f"{beyond:,} {asked.unit} are not reached: the budget ends after {plan.tokens:,} tokens"
        more = ", and a word takes at least one" if asked.unit == "words" else ""
        raise AbovoError(what + more, f"{key}.at", "give the run more tokens, or ask for less")
    if asked.end in asked.at:
        raise AbovoError(f"{asked.end:,} stands in `at` too", f"{key}.end", "name it once")
    if run.training.early_stopping.patience is not None:
        what = "the training may end before models that are asked for"
        raise AbovoError(what, f"{where}, key training.early_stopping.patience", "set it to null, or ask for none")
