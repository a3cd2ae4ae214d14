"""Turn options and documents, as ids, into their log-likelihoods under a model, as lm-eval's `hf` model scores them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from abovo.console.progress import Progress
from abovo.errors import AbovoError
from abovo.evaluation.branches import Asked, Line, ask, lay
from abovo.evaluation.forms import MASKED, Forms
from abovo.evaluation.options import Option, encode_pair, encode_pairs, encode_texts
from abovo.modeling.opened import Opened

__all__ = ["Option", "Scored", "Scorer", "encode_pair", "encode_pairs", "encode_texts"]
# Most logits that are there at once (on a processor: of its caches' size).
LOGITS = {"cpu": 2**20, "cuda": 2**26}
# Most ids of a batch, so that what a block makes of them stays in a processor's caches, or fills a GPU.
IDS = {"cpu": 2**11, "cuda": 2**17}


@dataclass(frozen=True)
class Scored:
    """Summed log-likelihood (nats) of an option's `tokens` scored ids; whether each was the likeliest id at its place.

    `cut` counts the ids that the context had no room for, from the left; where they reach into the option, `tokens`
    holds what was left of it.
    """

    log_likelihood: float
    greedy: bool
    tokens: int
    cut: int


class Scorer:
    """Scores at most `batch_size` lines at once; what it gives depends neither on that (but for rounding) nor on order.

    Softmax is taken in float32, and the log-likelihoods of an option's ids are added in float64.
    """

    def __init__(self, opened: Opened, batch_size: int, progress: Progress | None = None) -> None:
        self.opened, self.batch_size, self.progress = opened, batch_size, progress
        self.forms = Forms(opened)

    def options(self, rows: Sequence[Sequence[Option]]) -> list[list[Scored]]:
        """The options of each row, which are computed once as far as they begin alike.

        Raises AbovoError where a log-likelihood is not finite.
        """
        first, asked = 0, []
        for row in rows:
            asked.append([ask(first + n, one, self.opened.context, self.opened.prefix) for n, one in enumerate(row)])
            first += len(row)
        sums, misses = self._scores(asked, first)
        self._check(sums)
        return [
            [Scored(float(sums[one.number]), not misses[one.number], len(one.targets), one.cut) for one in row]
            for row in asked
        ]

    def documents(self, texts: Sequence[Sequence[int]], stride: int | None = None) -> list[Scored]:
        """Whole texts, each id scored once, the first after the prefix id.

        Windows of `context` ids, each `stride` ids after the one before it, of whose ids the last `stride` are scored.
        Without `stride` they are disjoint, as in lm-eval's loglikelihood_rolling; the last looks back as far as it can.
        """
        windows = [self._windows(text, stride or self.opened.context) for text in texts]
        found = iter(self.options([[window] for row in windows for window in row]))
        scored = []
        for row in windows:
            parts = [next(found)[0] for _ in row]
            total = math.fsum(part.log_likelihood for part in parts)
            scored.append(Scored(total, all(p.greedy for p in parts), sum(p.tokens for p in parts), 0))
        return scored

    def _windows(self, text: Sequence[int], stride: int) -> list[Option]:
        context = self.opened.context
        if not 1 <= stride <= context:
            what = f"windows cannot move on by {stride} tokens where the model's context is {context}"
            raise AbovoError(what, "key stride of the evaluation", f"choose 1 to {context}")
        whole, windows, done = (self.opened.prefix, *text), [], 0
        while done < len(text):
            end = min(len(text), done + stride if done else context)
            windows.append(Option(whole[max(0, end - context) : done + 1], whole[done + 1 : end + 1]))
            done = end
        return windows

    def _scores(self, asked: Sequence[Sequence[Asked]], options: int) -> tuple[np.ndarray, np.ndarray]:
        """Summed log-likelihoods, and whether an id was not the likeliest, of all options by their numbers."""
        layouts = [lay(row) for row in asked]
        longest = max((layout.longest_tree for layout in layouts), default=0)
        limit = self.forms.longest_tree(longest) if longest else 0
        lines = [line for layout in layouts for line in layout.lines(limit) if line.nodes]
        sums, misses = np.zeros(options), np.zeros(options, bool)
        done = 0
        for batch in self._batches(lines):
            try:
                owners, found, greedy = self._batch(batch)
            except torch.OutOfMemoryError:
                what = f"has no memory for {len(batch)} rows of {len(batch[0])} ids at once"
                raise AbovoError(what, self.opened.device, "lower batch_size") from None
            np.add.at(sums, owners, found)
            misses[owners[~greedy]] = True
            done += len(batch)
            if self.progress is not None:
                self.progress.update(f"{done:,}/{len(lines):,} lines scored")
        return sums, misses

    def _batches(self, lines: Sequence[Line]) -> Iterator[list[Line]]:
        """Lines of similar length together, the longest first, so that little is padded."""
        for kind in (True, False):
            chosen = sorted((line for line in lines if line.is_tree is kind), key=len, reverse=True)
            first = 0
            while first < len(chosen):
                longest = len(chosen[first])
                room = min(self.batch_size, IDS[self.forms.device.type] // longest)
                if kind:
                    room = min(room, MASKED // longest**2)
                if not self.forms.splits:
                    room = min(room, LOGITS["cuda"] // (longest * self.forms.vocabulary))
                batch = chosen[first : first + max(1, room)]
                first += len(batch)
                yield batch

    def _batch(self, lines: Sequence[Line]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The option, the log-likelihood and whether it is the likeliest one of each scored id."""
        length, device = len(lines[0]), self.forms.device
        ids = np.zeros((len(lines), length), np.int64)
        for row, line in enumerate(lines):
            ids[row, : len(line)] = line.ids
        is_tree = lines[0].is_tree
        values = self._trees(lines, ids) if is_tree else self.forms.plain(torch.from_numpy(ids).to(device))
        places = np.concatenate([np.array(line.nodes) + row * length for row, line in enumerate(lines)])
        targets = np.concatenate([np.array(line.targets) for line in lines])
        owners = np.concatenate([np.array(line.owners) for line in lines])
        order = np.argsort(places, kind="stable")
        places, targets, owners = places[order], targets[order], owners[order]
        found, greedy = self._log_likelihoods(values.flatten(0, 1), places, targets)
        return owners, found, greedy

    def _trees(self, lines: Sequence[Line], ids: np.ndarray) -> torch.Tensor:
        depths, visible = np.zeros_like(ids), np.zeros((*ids.shape, ids.shape[1]), bool)
        visible[:, range(ids.shape[1]), range(ids.shape[1])] = True  # who sees nothing has no softmax
        for row, line in enumerate(lines):
            depths[row, : len(line)] = line.depths
            visible[row, : len(line), : len(line)] = line.visible()
        parts = (torch.from_numpy(part).to(self.forms.device) for part in (ids, depths, visible))
        return self.forms.trees(*parts)

    def _log_likelihoods(
        self, values: torch.Tensor, places: np.ndarray, targets: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Of `targets` after the values at `places`, which ascend; no more logits at once than LOGITS."""
        device, found, greedy = self.forms.device, [], []
        step = max(1, LOGITS[device.type] // self.forms.vocabulary)
        chosen, inverse = np.unique(places, return_inverse=True)
        for first in range(0, len(chosen), step):
            begin, end = np.searchsorted(inverse, (first, first + step))
            logits = self.forms.logits(values[torch.from_numpy(chosen[first : first + step]).to(device)])
            rows = torch.from_numpy(inverse[begin:end] - first).to(device)
            wanted = torch.from_numpy(targets[begin:end]).to(device)
            with torch.inference_mode():
                highest = logits.amax(-1, keepdim=True)
                scores = logits.sub_(highest)  # in the memory of the logits, pass by pass
                chosen_scores = scores[rows, wanted]
                likeliest = chosen_scores == 0
                tied = likeliest.nonzero().squeeze(1)
                likeliest[tied] = scores[rows[tied]].argmax(-1) == wanted[tied]
                found.append((chosen_scores - scores.exp_().sum(-1).log_()[rows]).cpu().numpy())
                greedy.append(likeliest.cpu().numpy())
        return np.concatenate(found).astype(np.float64), np.concatenate(greedy)

    def _check(self, sums: np.ndarray) -> None:
        if not np.isfinite(sums).all():
            name = self.opened.tokenizer.name_or_path
            raise AbovoError("a log-likelihood is not finite", name, "the model's weights are broken; train it again")
