"""Turn the models that a run asks for on the way into a refusal before its first job, where they cannot be had."""

from collections.abc import Callable
from typing import Any

from abovo.config.budget import Budget
from abovo.errors import AbovoError
from abovo.settings.run import AnyRun, Run


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


def check_kept(run: Run, checkpoint: str) -> None:
    """Raise AbovoError where a run keeps no model on the way that is called so."""
    kept = run.checkpoints.names
    if checkpoint not in kept:
        what = f"the run keeps no {checkpoint} (kept: {', '.join(kept) or 'none'})"
        raise AbovoError(what, f"config/runs/{run.name}.yaml, key checkpoints", "add its amount to `at`")


def evaluation_of_kept(run: Run, checkpoint: str) -> str:
    """The name of what is measured on a model that a run keeps on the way. Raises AbovoError where nothing is."""
    check_kept(run, checkpoint)
    if run.checkpoints.evaluation is None:
        what, mend = "is null, so models on the way are not measured", "name one of config/evaluation"
        raise AbovoError(what, f"config/runs/{run.name}.yaml, key checkpoints.evaluation", mend)
    return run.checkpoints.evaluation


def on_the_way(run: AnyRun) -> str | None:
    """The name of what models on the way are measured with; None where a run keeps none, or measures none."""
    return run.checkpoints.evaluation if isinstance(run, Run) else None


def tasks_of(run: AnyRun, part: Callable[[str, str], Any]) -> list[str]:
    """The tasks that a run's models, those on the way too, are scored on, each once; `part` gives the settings of a
    shared part by its kind and name."""
    evaluation = on_the_way(run)
    more = part("evaluation", evaluation).tasks if evaluation else ()
    return list(dict.fromkeys([*run.evaluation.tasks, *more]))
