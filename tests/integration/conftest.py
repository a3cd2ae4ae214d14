"""The reduced chain, made once for all tests that look at it or compare with it."""

import pytest
from reduced import DATA, MODELS, REDUCED, TARGET, hashes
from workflow import Workflow, copy_of_the_tree


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> tuple[Workflow, dict[str, str]]:
    """The chain, made in one go on two cores, in a folder whose name means something to shells and to patterns; and
    what its files hashed to."""
    workflow = Workflow(copy_of_the_tree(tmp_path_factory.mktemp("whole") / "it's [a] {b} é ;x"), REDUCED)
    workflow.make("--cores", "2", TARGET)
    return workflow, hashes(workflow, DATA + MODELS)


@pytest.fixture(scope="session")
def whole(made) -> Workflow:
    """The same, for tests of one module, which change it."""
    return made[0]
