"""Turn the Python files of a package into the docstrings of its public objects, by their syntax trees alone."""

import ast
import inspect
import warnings
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

# Folders and files that are not a package's own documented interface, or that differ from one build to the next.
SKIPPED = {
    "tests", "test", "testing", "conftest.py", "benchmarks", "examples", "_version.py", "version.py", "__config__.py",
    "_distributor_init.py", "vendor", "vendored", "_vendor", "_vendored", "extern", "externals", "thirdparty",
    "third_party",
}  # fmt: skip
# What Python's parser raises: for nesting that is too deep, MemoryError and RecursionError.
UNREADABLE = (SyntaxError, ValueError, MemoryError, RecursionError)
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def is_documentation(path: str) -> bool:
    return not SKIPPED.intersection(PurePosixPath(path).parts)


def exported(path: str, text: str) -> dict[str, str]:
    """Names that an __init__.py imports from elsewhere in its package, with the module that each comes from."""
    package = _module(path)
    names = {}
    for node in getattr(_parse(text), "body", []):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").split(".")[0] == package):
            module = f"{package}.{node.module}" if node.level and node.module else node.module or package
            names.update({alias.name: module for alias in node.names if alias.asname in (None, alias.name)})
    return names


def docstrings(path: str, text: str, exports: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(name, document) for each public function, class and method with a docstring; a document is the call's
    signature, an empty line, and the docstring without its indentation.

    The name is the one a user writes: parts of the module's path with a leading underscore are left out, and an object
    that the package's top exports from this part of it is named there.
    """
    if '"""' not in text and "'''" not in text:
        return
    module = _module(path)
    seen: dict[str, int] = {}
    for name, node in _definitions(getattr(_parse(text), "body", []), ""):
        document = ast.get_docstring(node, clean=False)
        if not document or not document.strip():
            continue
        full = _public(module, name, exports)
        seen[full] = seen.get(full, 0) + 1
        label = full if seen[full] == 1 else f"{full}~{seen[full]}"
        yield label, f"{full}{_signature(node)}\n\n{inspect.cleandoc(document)}"


def _parse(text: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except UNREADABLE:
        return None  # a template or a file for another version of Python: it documents nothing here


def _definitions(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, Definition]]:
    for node in body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield f"{prefix}{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from _definitions(node.body, f"{prefix}{node.name}.")


def _module(path: str) -> str:
    parts = PurePosixPath(path).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _public(module: str, name: str, exports: Mapping[str, str]) -> str:
    top = module.split(".")[0]
    origin = exports.get(name.split(".")[0])
    if origin is not None and (module == origin or module.startswith(f"{origin}.")):
        return f"{top}.{name}"
    return ".".join([part for part in module.split(".") if not part.startswith("_")] + [name])


def _signature(node: Definition) -> str:
    """The arguments as one would read them in a manual: without self and without annotations."""
    if isinstance(node, ast.ClassDef):
        made = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"]
        if not made:
            return ""
        return _signature(made[0])
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    for argument in filter(None, every):
        argument.annotation = None
    for group in (arguments.posonlyargs, arguments.args):
        if group and group[0].arg in ("self", "cls"):
            # A default belongs to the last arguments, so the first can go without moving any.
            del group[0]
            break
    return f"({written(arguments)})"


def written(node: ast.AST) -> str:
    """Python's own spelling of a part of a syntax tree; an ellipsis where it is nested too deeply to be spelled."""
    try:
        return ast.unparse(node)
    except RecursionError:
        return "..."
