"""The reduced chain, made once for all tests that look at it or compare with it."""

import shutil

import pytest
from reduced import DATA, MODELS, REDUCED, TARGET, hashes
from workflow import Workflow, copy_of_the_tree


@pytest.fixture(scope="session")
def pristine(tmp_path_factory) -> Workflow:
    """The chain, made in one go on two cores, in a folder whose name means something to shells and to patterns; no test
    changes it."""
    workflow = Workflow(copy_of_the_tree(tmp_path_factory.mktemp("pristine") / "it's [a] {b} é ;x"), REDUCED)
    workflow.make("--cores", "2", TARGET)
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
