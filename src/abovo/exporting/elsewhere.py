"""Compare what a process that has transformers and none of our code makes of an exported folder with what the model
itself says: logits, greedy tokens with a cache, and those of a batch that is padded on the left."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from abovo.errors import AbovoError

# Ids of the longest row and of those that are read on from, and tokens that follow each.
LONGEST, BEGINNINGS, TOKENS = 48, (5, 9, 16), 16
# Distance of logits over their size that float32 makes by adding in another order.
ROUNDING = 1e-4
# Run by a process of its own: told a folder, rows of ids and a number of tokens; writes logits of the longest row, what
# follows each row alone, and what follows them in one batch. An import of abovo fails there.
READ = """
import json, sys
sys.modules["abovo"] = None
import torch
from transformers import AutoModelForCausalLM
folder, asked, logits = sys.argv[1:]
rows, tokens = json.loads(asked)
model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, dtype=torch.float32).eval()
model.generation_config.eos_token_id = None
ways = {"max_new_tokens": tokens, "do_sample": False, "use_cache": True, "pad_token_id": 0}
def follows(rows):
    length = max(map(len, rows))
    ids = torch.tensor([[0] * (length - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows])
    return model.generate(input_ids=ids, attention_mask=mask, **ways)[:, length:].tolist()
with torch.inference_mode():
    longest = torch.tensor([max(rows, key=len)])
    torch.save(model(input_ids=longest, use_cache=False).logits[0], logits)
print(json.dumps([[found for row in rows for found in follows([row])], follows(rows)]))
"""


@dataclass(frozen=True)
class Read:
    """What a process made of a folder: logits [ids, V] of the longest row, the tokens after each row read alone, and
    those after each row of a batch."""

    logits: Any
    alone: list[list[int]]
    batch: list[list[int]]


def read_elsewhere(folder: Path, rows: list[list[int]]) -> Read:
    """What transformers says of rows of ids, by the code in the folder and none of ours.

    Raises AbovoError where the process ends with an error.
    """
    import torch

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "logits.pt")
        command = [sys.executable, "-c", READ, str(folder.resolve()), json.dumps([rows, TOKENS]), str(path)]
        # the code is copied to where the library runs it from
        own = {"HF_MODULES_CACHE": str(Path(scratch, "modules")), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            command, env={**os.environ, **own}, cwd=scratch, capture_output=True, text=True, check=False
        )
        if done.returncode:
            told = (done.stderr.strip().splitlines() or ["it was killed"])[-1][:300]
            raise AbovoError(f"transformers cannot read it without abovo: {told}", folder, "report it with this line")
        alone, batch = json.loads(done.stdout.splitlines()[-1])
        return Read(torch.load(path, weights_only=True), alone, batch)


def check_elsewhere(folder: Path) -> None:
    """Raise AbovoError where a process without abovo reads a folder of ours otherwise than we do."""
    import torch

    from abovo.modeling.family import family_of, open_model
    from abovo.modeling.generate import Limits, ModelReader, write

    model: Any = open_model(folder).eval()
    size, generator = model.config.vocab_size, torch.Generator().manual_seed(1)
    longest = min(LONGEST, model.config.max_position_embeddings - TOKENS)
    lengths = dict.fromkeys(min(length, longest) for length in (*BEGINNINGS, longest))
    rows = [torch.randint(size, (length,), generator=generator).tolist() for length in lengths]
    found = read_elsewhere(folder, rows)
    family = family_of(model)
    with torch.inference_mode():
        hidden = family.step(model, torch.tensor(rows[-1:])).hidden[0]
        wanted = torch.nn.functional.linear(hidden, family.output(model))
    limits = Limits(TOKENS, longest + TOKENS, ())
    ours = [one.ids for row in rows for one in write(ModelReader(model), [row], limits)]
    wrong = {
        "other logits": not bool((found.logits - wanted).norm() <= ROUNDING * wanted.norm()),
        "other greedy tokens": found.alone != ours,
        "other greedy tokens in a padded batch": found.batch != ours,
    }
    if told := [what for what, is_so in wrong.items() if is_so]:
        raise AbovoError(f"transformers without abovo gives {', '.join(told)}", folder, "report it with this line")
