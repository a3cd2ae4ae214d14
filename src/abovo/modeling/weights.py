"""Turn a folder in the Hugging Face layout into a model of a class of transformers, whole or not at all."""

from pathlib import Path
from typing import Any

import torch

from abovo.errors import AbovoError, first_line
from abovo.modeling.layout import check_whole


def open_weights(causal: Any, folder: Path, trusted: bool = False) -> Any:
    """A model of a class of transformers, in float32 on the CPU; no pickle of the folder is read, and no code unless it
    is `trusted`.

    Raises AbovoError where its weights are not whole, or its class cannot be had.
    """
    check_whole(folder)
    try:
        opened: Any = causal.from_pretrained(
            folder,
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=trusted,
            output_loading_info=True,
        )
    except Exception as error:  # a configuration with odd values is refused by whatever meets them
        what, mend = "transformers cannot open it as a causal model", "name the folder of a causal language model"
        raise AbovoError(f"{what} ({first_line(error)})", folder, f"{mend} whose class transformers has") from None
    model, found = opened
    if missing := sorted(found["missing_keys"]):
        what = f"its weights lack {missing[0]}" + (f" and {len(missing) - 1} more" if missing[1:] else "")
        raise AbovoError(what, folder, "save the whole model again")
    return model
