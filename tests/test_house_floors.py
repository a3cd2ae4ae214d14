"""A module imports only from floors below its own."""

import ast
from pathlib import Path

import pytest

SOURCE = Path("src/abovo")
# From the top to the ground. Folders of one floor may not import each other; a folder may import itself.
FLOORS = (
    {"reporting", "planning"},
    {"evaluation", "exporting", "instruction", "serving"},
    {"training"},
    {"config"},
    {"modeling"},
    {"packing"},
    {"facts", "tokenizing"},
    {"corpus"},
    {"cluster", "console", "provenance"},
    {"settings"},
    {"errors"},
)
HEIGHT = {room: -number for number, floor in enumerate(FLOORS) for room in floor}
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path.parent != SOURCE)


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "abovo" else [f"abovo.{alias.name}" for alias in node.names]
        yield from (name.split(".")[1] for name in names if name.startswith("abovo."))


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_module_imports_only_from_lower_floors(path):
    room = path.relative_to(SOURCE).parts[0]
    assert room in HEIGHT, f"{room} stands on no floor: add it to this table and to docs/architecture.md"
    for other in imported_rooms(path):
        if other == room or other.startswith("__"):
            continue
        # The ground floor's rooms (hashes, what is printed) serve each other.
        ground = HEIGHT["provenance"]
        if HEIGHT[room] == HEIGHT[other] == ground:
            continue
        assert HEIGHT[other] < HEIGHT[room], f"{path} imports abovo.{other}, which does not stand below {room}"


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("__init__.py")), ids=str)
def test_folder_opens_with_what_it_turns_into_what(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{path} has no docstring"
    if path.parent != SOURCE:
        assert len(tree.body) == 1, f"{path} holds more than its docstring"


@pytest.mark.parametrize("path", [*MODULES, *sorted(Path("workflow").glob("*/*.py"))], ids=str)
def test_file_is_short_and_says_what_it_does(path):
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), f"{path} does not open with what it turns into what"
    assert text.count("\n") <= 400, f"{path} is longer than 400 lines: split it"
