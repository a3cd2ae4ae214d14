"""The reduced chain, made once for all tests that look at it or compare with it."""

import fcntl
import os
import shutil
from pathlib import Path

import pytest
from reduced import DATA, MODELS, REDUCED, TARGET, hashes
from workflow import Workflow, copy_of_the_tree


@pytest.fixture(scope="session")
def pristine(tmp_path_factory) -> Workflow:
    """The chain, made in one go on two cores, in a folder whose name means something to shells and to patterns; no test
    changes it. Processes of tests that are given one ABOVO_CHAIN, a folder, make it there once for all of them.
    """
    place = Path(os.environ.get("ABOVO_CHAIN") or tmp_path_factory.mktemp("pristine"))
    workflow, whole = Workflow(place / "it's [a] {b} é ;x", REDUCED), place / "whole"
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            shutil.rmtree(workflow.folder, ignore_errors=True)
            copy_of_the_tree(workflow.folder)
            workflow.make("--cores", "2", TARGET)
            whole.touch()
    return workflow


@pytest.fixture(scope="session")
def made(pristine, tmp_path_factory) -> tuple[Workflow, dict[str, str]]:
    """A copy of it, and what its files hashed to."""
    folder = tmp_path_factory.mktemp("whole") / pristine.folder.name
    shutil.copytree(pristine.folder, folder, symlinks=True)
    workflow = Workflow(folder, pristine.settings)
    return workflow, hashes(workflow, DATA + MODELS)


@pytest.fixture(scope="session")
def whole(made) -> Workflow:
    """The same, for tests of one module, which change it."""
    return made[0]
