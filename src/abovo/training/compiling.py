"""Turn the place of a run into the place where what torch compiles is kept, for resumes and for runs of equal shape."""

import os
from pathlib import Path

import torch
from torch._inductor.runtime.cache_dir_utils import default_cache_dir

from abovo.settings.training import Training

# Torch's own name of the folder; its caches of graphs, of kernels and Triton's lie in it.
FOLDER = "TORCHINDUCTOR_CACHE_DIR"


def compiles_blocks(recipe: Training, device: torch.device) -> bool:
    """Whether the blocks of a model are compiled. On a CPU nothing ever is: results there are bit-equal on any machine
    with the same processor."""
    return recipe.compile == "auto" and device.type == "cuda"


def keep_compiled(state: Path) -> None:
    """Have torch keep what it compiles in .cache/compile of the results that `state` lies in, else beside it; each user
    apart, since what lies there is run.

    To be called before anything is compiled, in each process. A folder that the environment names stays, but for
    torch's own, which parts of torch put there when they are imported.
    """
    results = next((folder for folder in state.parents if folder.name == "results"), state.parent)
    if os.environ.get(FOLDER, default_cache_dir()) == default_cache_dir():
        os.environ[FOLDER] = str((results / ".cache" / "compile" / str(os.getuid())).absolute())
