"""Turn a script into the hash of all code of ours that can change its result.

The hash covers the script and every abovo module that it imports, directly or not, wherever the import statement
stands. Comments, docstrings and layout do not count, nor do the modules of abovo.console, which only print.
"""

import ast
import functools
from pathlib import Path

import abovo
from abovo.provenance.hashing import sha256_json

PACKAGE = Path(abovo.__file__).parent
WITHOUT_EFFECT = ("abovo.console", "abovo.errors")


@functools.cache
def code_hash(script: Path) -> str:
    """sha256 over the syntax trees of `script` and of the abovo modules it reaches, by module name."""
    trees: dict[str, str] = {}
    waiting = [("__main__", Path(script))]
    while waiting:
        name, path = waiting.pop()
        if name in trees:
            continue
        trees[name], imported = _module(path)
        waiting.extend((module, _path(module)) for module in imported)
    return sha256_json(trees)


@functools.cache
def _module(path: Path) -> tuple[str, tuple[str, ...]]:
    """The normalised syntax tree of a file and the abovo modules that it imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            _drop_docstring(node)
    return ast.dump(tree), tuple(sorted(name for name in imported if _counts(name)))


def _drop_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        node.body = node.body[1:] or [ast.Pass()]


def _counts(module: str) -> bool:
    if module.split(".")[0] != "abovo" or module.startswith(WITHOUT_EFFECT):
        return False
    return _path(module).exists()


def _path(module: str) -> Path:
    place = PACKAGE.joinpath(*module.split(".")[1:])
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
