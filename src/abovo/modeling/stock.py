"""The family of all causal models of transformers that no file beside this one answers for: each by its own forward."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from abovo.modeling.family import Family, Step
from abovo.modeling.weights import open_weights
from abovo.settings.model import Model

# Classes of matrices that adapters go on; GPT-2 and its heirs keep theirs turned.
LINEAR = ("Linear", "Conv1D")
ATTENTION, FEED_FORWARD = "attention", "feed_forward"


class Stock(Family):
    """What can be said of any model of transformers: its blocks are the list of modules that holds most of it.

    It is made for one model. Such a model is never built here, so nothing is told of shapes.
    """

    settings = Model
    model_type = "stock"

    def __init__(self, model: Any) -> None:
        lists = [module for module in model.modules() if type(module).__name__ == "ModuleList"]
        self._blocks: Sequence[Any] = max(lists, key=_size, default=[model])
        self.adapter_parts = _parts(self._blocks)

    def blocks(self, model: Any) -> Sequence[Any]:
        return self._blocks

    def residual_writers(self, model: Any) -> Sequence[Any]:
        return []

    def embeddings(self, model: Any) -> Sequence[Any]:
        return [model.get_input_embeddings().weight]

    def output(self, model: Any) -> Any:
        return model.get_output_embeddings().weight

    def adapter_targets(self, model: Any, chosen: Collection[str]) -> Sequence[str]:
        """Matrices are named by their way from the block: one name may stand in attention and in feed-forward."""
        own = {id(module) for block in self._blocks for name, module in block.named_modules() if name in chosen}
        return [name for name, module in model.named_modules() if id(module) in own]

    def step(self, model: Any, ids: Any, cache: Any = None, *, keep: bool = False) -> Step:
        raise TypeError("what a stock model makes of its hidden states is its own: ask for its logits")

    def logits(self, model: Any, ids: Any, sight: Any = None) -> Any:
        from abovo.modeling.apart import looks_through_windows, mask_of

        if sight is None:
            return model(input_ids=ids, use_cache=False).logits
        # classes with windows tell texts by their places alone
        mask = None if looks_through_windows(model) else mask_of(model, sight.visible)
        return model(input_ids=ids, attention_mask=mask, position_ids=sight.places, use_cache=False).logits

    @staticmethod
    def open(folder: Path, trusted: bool = False) -> Any:
        """With code of the folder where that is `trusted`."""
        from transformers import AutoModelForCausalLM

        return open_weights(AutoModelForCausalLM, folder, trusted)

    def count(self, model: Any, rows: int) -> Any:
        raise TypeError("a stock model has no shape in settings")

    operations = activations = adapter_sides = build = count  # type: ignore[assignment]


def _size(modules: Iterable[Any]) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def _parts(blocks: Sequence[Any]) -> Mapping[str, Sequence[str]]:
    """The matrices of the blocks by part: those below a module that is called attention, and all others."""
    found: dict[str, dict[str, None]] = {ATTENTION: {}, FEED_FORWARD: {}}
    for block in blocks:
        for name, module in block.named_modules():
            if type(module).__name__ in LINEAR:
                found[ATTENTION if "att" in name.lower() else FEED_FORWARD][name] = None
    return {part: list(names) for part, names in found.items() if names}
