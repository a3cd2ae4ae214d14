"""Turn where texts begin in rows of ids into what each id sees, so that each text of a row is as if it were alone."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from abovo.modeling.family import family_of

# Distance of values over their size that float32 may make by adding in another order, and that sight never makes.
ROUNDING = 1e-3
# What configurations of transformers call how far a layer looks.
WINDOWS = ("sliding_window", "attention_chunk_size")


class Sight(NamedTuple):
    """Where ids stand in their text, int64 [rows, length], and what each of them sees, bool [rows, length, length]."""

    places: Tensor
    visible: Tensor


def sight_of(firsts: Tensor) -> Sight:
    """Of rows in which texts begin at the ids that are `firsts`, bool [rows, length]: an id sees its own text, up to
    itself. What stands before the first of them is a text, too. Nothing here makes a GPU wait."""
    length = firsts.shape[1]
    places = torch.arange(length, device=firsts.device)
    begins = torch.where(firsts, places, 0).cummax(1).values
    visible = (begins[:, :, None] == begins[:, None, :]) & (places[:, None] >= places)
    return Sight(places - begins, visible)


def looks_through_windows(model: Any) -> bool:
    """Whether an id of some layer sees only some of those before it. A mask that is given takes the place of all that a
    class masks by itself, so it would let them see the others, too."""
    config = model.config.get_text_config()
    return any(getattr(config, name, None) for name in WINDOWS)


def mask_of(model: Any, visible: Tensor) -> Tensor:
    """What is visible, [rows, length, length], as transformers' attention takes it: [rows, 1, length, length]."""
    if model.config._attn_implementation == "sdpa":
        return visible[:, None]
    lowest = torch.finfo(model.dtype).min
    return torch.zeros(visible.shape, dtype=model.dtype, device=visible.device).masked_fill(~visible, lowest)[:, None]


@torch.no_grad()
def sees_apart(model: Any) -> bool:
    """Whether a text has the values in a row after another one that it has alone; tried on a few ids."""
    family, training = family_of(model), model.training
    ids = torch.arange(12, device=next(model.parameters()).device)[None]
    firsts = (ids == 0) | (ids == 5)

    def values(ids: Tensor, sight: Sight | None) -> Tensor | None:
        if (logits := family.logits(model, ids, sight)) is not None:
            return logits
        if sight is None:
            return family.step(model, ids).hidden
        return None if looks_through_windows(model) else family.tree(model, ids, *sight)

    model.eval()
    try:
        found, alone = values(ids, sight_of(firsts)), values(ids[:, 5:], None)
    except (TypeError, ValueError, RuntimeError):  # of a class that takes no mask or no places
        return False
    finally:
        model.train(training)
    if found is None or alone is None:
        return False
    return bool((found[:, 5:] - alone).norm() <= ROUNDING * alone.norm())
