"""Find the cheapest way through a model that gives its own values: trees or plain rows, few outputs or all of them.

What is not known of a model is tried once on a probe against the plain form; where values differ, the plain form stays.
"""

import copy
import logging
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from abovo.errors import AbovoError
from abovo.modeling.opened import Opened, rows_of

log = logging.getLogger("abovo")
# Largest distance of two values over their size that float32 may make by adding in another order, and one that no
# rounding makes.
ROUNDING, OTHER = 1e-4, 1e-2
# Most entries of the masks of a batch of trees.
MASKED = 2**25
# Takes a model and gives two sets of values [rows, length, *] that should be one, none for the first where it has none.
Probe = Callable[[Any], tuple[Tensor | None, Tensor]]
# Ids of a probe that looks at the output matrix; one for trees is as long as the longest tree that is asked for.
PROBED = 32


class Forms:
    """Ways through one model; values [rows, length, *] come out, of which `logits` makes float32 logits [n, V]."""

    def __init__(self, opened: Opened) -> None:
        self.model, self.family, self.context = opened.model, opened.family, opened.context
        self.device = torch.device(opened.device)
        self.vocabulary = rows_of(self.model, self.family)
        self.splits, self._covered, self._refused = self.family is not None, 0, False
        if self.family is None:
            if OTHER < self._distance(self._without_what_follows) < math.inf:
                what = f"{type(self.model).__name__} is not causal: what it says after a token depends on later ones"
                raise AbovoError(what, opened.tokenizer.name_or_path, "name a model that writes from left to right")
            self.splits = self._holds(self._output_apart, "its output matrix is used apart")

    @torch.inference_mode()
    def plain(self, ids: Tensor) -> Tensor:
        """Values of rows of ids, int64 [rows, length], padded on the right."""
        return self._plain(self.model, ids)

    @torch.inference_mode()
    def trees(self, ids: Tensor, depths: Tensor, visible: Tensor) -> Tensor:
        """The same for trees: distances from the root [rows, length] and what each id sees, bool [rows, n, n]."""
        found = self._trees(self.model, ids, depths, visible)
        assert found is not None, "trees are laid for models that were tried with them"
        return found

    @torch.inference_mode()
    def logits(self, values: Tensor) -> Tensor:
        if not self.splits:
            return values.float()
        if self.family is not None:
            return linear(values, self.family.output(self.model)).float()
        return self.model.get_output_embeddings()(values).float()

    def longest_tree(self, wanted: int) -> int:
        """The longest tree that gives the values of plain rows, as far as `wanted` ids: 0 where trees do not.

        Attention may look no farther than a window, and tables of places may end at the context, so what is longer than
        what was tried is tried before it is used, up to trees in which an option fills the context.
        """
        if self._refused or not self.splits:
            return 0
        most = 3 * self.context // 2
        length = min(1 << max(4, (wanted - 1).bit_length()), most)
        if length > self._covered:
            if not self._holds(lambda model: self._tree_and_rows(model, length), "options share what they begin with"):
                self._refused = True
                return 0
            self._covered = length
        return math.isqrt(MASKED) if self._covered == most else self._covered

    def _plain(self, model: Any, ids: Tensor) -> Tensor:
        if self.family is not None:
            return self.family.step(model, ids).hidden
        if self.splits:
            return model.base_model(input_ids=ids).last_hidden_state
        return model(input_ids=ids).logits

    def _trees(self, model: Any, ids: Tensor, depths: Tensor, visible: Tensor) -> Tensor | None:
        if self.family is not None:
            return self.family.tree(model, ids, depths, visible)
        kind = next(model.parameters()).dtype
        mask = torch.zeros(visible.shape, dtype=kind, device=visible.device)
        mask = mask.masked_fill_(~visible, torch.finfo(kind).min)[:, None]
        return model.base_model(input_ids=ids, attention_mask=mask, position_ids=depths).last_hidden_state

    def _holds(self, probe: Probe, what: str) -> bool:
        """Whether both values that a probe gives are equal but for rounding.

        Nothing is told of a model whose own values are no numbers: whoever scores with it will say so.
        """
        apart = math.inf
        try:
            apart = self._distance(probe)
            held, why = apart <= ROUNDING, f"values differ by {apart:.1e} of their size"
        except Exception as error:  # what a class of another's does with arguments that it does not know, nobody knows
            held, why = False, type(error).__name__
        if not held and not math.isnan(apart):
            kind = type(self.model).__name__
            log.info("%s is scored in the plain form where %s otherwise: %s", kind, what, why)
        return held

    @torch.inference_mode()
    def _distance(self, probe: Probe) -> float:
        """How far the values of a probe are apart at most, over their size; in float32 whatever the model is in.

        NaN where the second ones, the model's own, are not finite; infinite where there are no first ones or they alone
        are not.
        """
        single = next(self.model.parameters()).dtype == torch.float32
        one, other = probe(self.model if single else copy.deepcopy(self.model).float())
        if not other.isfinite().all():
            return math.nan
        if one is None or not one.isfinite().all():
            return math.inf
        return float(((one - other).norm(dim=-1) / other.norm(dim=-1).clamp(min=1e-30)).max())

    def _random_ids(self, *shape: int) -> Tensor:
        drawn = torch.randint(self.vocabulary, shape, generator=torch.Generator().manual_seed(1))
        return drawn.to(self.device)

    def _without_what_follows(self, model: Any) -> tuple[Tensor, Tensor]:
        ids = self._random_ids(2, min(PROBED, self.context))
        half = (ids.shape[1] + 1) // 2
        return self._plain(model, ids)[:, :half], self._plain(model, ids[:, :half])

    def _output_apart(self, model: Any) -> tuple[Tensor, Tensor]:
        ids = self._random_ids(2, min(PROBED, self.context))
        hidden = model.base_model(input_ids=ids).last_hidden_state
        return model.get_output_embeddings()(hidden), model(input_ids=ids).logits

    def _tree_and_rows(self, model: Any, length: int) -> tuple[Tensor | None, Tensor]:
        """A stem and two branches, of a third of `length` each: what the second one sees stands far before it."""
        third = max(1, length // 3)
        stem, branches = self._random_ids(1, third), self._random_ids(2, 2 * third)[:, third:]
        ids = torch.cat([stem, branches[:1], branches[1:]], 1)
        places = torch.arange(3 * third, device=self.device)
        depths = torch.where(places < 2 * third, places, places - third)[None]
        visible = torch.ones(3 * third, 3 * third, dtype=torch.bool, device=self.device).tril()
        visible[2 * third :, third : 2 * third] = False
        tree = self._trees(model, ids, depths, visible[None])
        rows = self._plain(model, torch.cat([stem.expand(2, -1), branches], 1))
        return tree, torch.cat([rows[:1], rows[1:, third:]], 1)
