"""Turn the name of a model on the hub into a folder in the Hugging Face layout: one commit, no pickles."""

import logging
from pathlib import Path

from abovo.errors import AbovoError, first_line
from abovo.modeling.layout import ORIGIN, check_whole, read_config
from abovo.provenance.files import write_json

log = logging.getLogger("abovo")
# What a model and its tokenizer consist of; README and licence travel along.
WANTED = (
    "*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", "tokenizer*", "*.model",
    "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "chat_template.*", "LICENSE*", "README.md",
)  # fmt: skip


def fetch_model(name: str, revision: str | None, folder: Path, code: bool = False) -> str:
    """Download the files of a model into `folder`, its `code` too where that is to be run, and say in fetched_from.json
    which commit they are of.

    What is there already is not asked for again. The library reads HF_TOKEN and HF_ENDPOINT by itself. Returns the
    commit. Raises AbovoError where the model is gated, is not there, cannot be reached, or has no safetensors.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    where = f"model {name}"
    try:
        commit = str(HfApi().model_info(name, revision=revision).sha)
        snapshot_download(
            name, revision=commit, local_dir=folder, allow_patterns=[*WANTED, *(["*.py"] if code else [])]
        )
    except GatedRepoError:
        mend = f"accept its terms at https://huggingface.co/{name} and export HF_TOKEN"
        raise AbovoError("is given out only to those who accept its terms", where, mend) from None
    except RevisionNotFoundError:
        raise AbovoError(f"has no revision {revision}", where, "name a branch, tag or commit of it") from None
    except RepositoryNotFoundError:
        mend = "mend the name, OWNER/NAME; of a private one export HF_TOKEN"
        raise AbovoError("is not on the hub", where, mend) from None
    except Exception as error:  # one of many of two libraries
        raise AbovoError(f"cannot be fetched ({first_line(error)})", where, "check the network and try again") from None
    read_config(folder)
    check_whole(folder)
    write_json(folder / ORIGIN, {"hub": name, "revision": commit})
    log.info("%s: %s at %s", folder, name, commit)
    return commit
