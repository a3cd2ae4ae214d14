"""Turn an export into a commit of a model's repository on the hub."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from abovo.errors import AbovoError
from abovo.provenance.code import Script
from abovo.provenance.manifest import Manifest
from abovo.provenance.products import Job, Made, produce
from abovo.settings.export import PushJob
from abovo.settings.keys import decisive

log = logging.getLogger("abovo")
TOKEN = "HF_TOKEN"
# Folders of an export, and where their files lie in the repository.
PLACES = {"hf/": "", "gguf/": "gguf/"}


def push_export(settings: PushJob, export: Manifest, output: Path, script: Script | Path) -> Manifest:
    """Make the repository where it is missing, put hf/ at its root and gguf/ below it, in one commit.

    The token is taken from the environment and is told to the hub alone: it stands in no log line, error or manifest.
    Raises AbovoError where there is none, or where the hub refuses or cannot be reached.
    """
    token = os.environ.get(TOKEN, "")
    if not token:
        mend = "make a token that may write at https://huggingface.co/settings/tokens and export it"
        raise AbovoError(f"{TOKEN} is not set, which the push to {settings.repository} needs", "environment", mend)
    files = dict(_files(export))

    def make(_: Path) -> Made:
        try:
            commit = _push(settings, files, f"{export.digest[:12]} of {export.path.parent.name}", token)
        except Exception as error:  # one of many of two libraries; whichever it is, its text may repeat the request
            told = " ".join(str(error).replace(token, "...").split())[:300]
            where = f"repository {settings.repository}"
            raise AbovoError(f"the hub did not take it: {told}", where, "check name, token and network") from None
        # not a matter of content: two commits of the same files have other names
        return Made({"files": len(files)}, {"repository": settings.repository}, measured={"commit": commit})

    made = produce(Job(output, "abovo/push/1", {"export": export}, decisive(settings), script), make)
    log.info("pushed to %s, commit %s", settings.repository, made["measured"]["commit"])
    return made


def _files(export: Manifest) -> Iterator[tuple[str, Path]]:
    """Place in the repository -> file, after its bytes were found to be those of the manifest."""
    for name in export.names():
        for folder, place in PLACES.items():
            if name.startswith(folder):
                yield place + name.removeprefix(folder), export.file(name)


def _push(settings: PushJob, files: dict[str, Path], message: str, token: str) -> str:
    from huggingface_hub import CommitOperationAdd, HfApi

    hub = HfApi(token=token)
    hub.create_repo(settings.repository, private=settings.private, exist_ok=True)
    operations = [CommitOperationAdd(place, path) for place, path in files.items()]
    return hub.create_commit(settings.repository, operations, commit_message=message).oid
