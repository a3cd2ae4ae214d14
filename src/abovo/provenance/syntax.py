"""Turn a source file into its top-level statements, without what only tells people something.

Left out are docstrings, layout and comments; statements that log or show progress; what such calls are given when they
are opened; the texts of errors and of a command line's help; imports for types alone. What a person reads may be
reworded without a rerun.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from abovo.provenance.hashing import sha256_bytes

# Calls whose arguments are words for people.
ERRORS = ("AbovoError",)
HELP = ("help", "description", "metavar", "epilog")


@dataclass(frozen=True)
class Entries:
    """A table as it is written: entries by name, where settings name them, and names for several at once."""

    entries: dict[str, str]
    chosen_by: tuple[str, ...]
    groups: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Statement:
    """A top-level statement: the names that it binds and uses, the modules that it imports, its tables, its hash.

    The hash is that of the statement without the entries of its tables.
    """

    binds: frozenset[str]
    uses: frozenset[str]
    imports: tuple[str, ...]
    tables: tuple[Entries, ...]
    digest: str


def statements(path: Path, watching: tuple[str, ...]) -> tuple[Statement, ...]:
    """The statements of a file; `watching` are the modules (or packages) that get values and give none back."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    silent = Silence(watchers(tree, watching)).visit(tree)
    assert isinstance(silent, ast.Module)
    return tuple(_statement(node) for node in silent.body if not _only_for_types(node))


def _only_for_types(node: ast.stmt) -> bool:
    """Whether no process ever runs a statement: imports that annotations alone name."""
    return isinstance(node, ast.If) and _last(node.test) == "TYPE_CHECKING" and not node.orelse


def _statement(node: ast.stmt) -> Statement:
    nodes = list(ast.walk(node))
    imports = tuple(sorted({module for inner in nodes for module in _imported(inner)}))
    uses = frozenset(inner.id for inner in nodes if isinstance(inner, ast.Name))
    calls = [inner for inner in nodes if isinstance(inner, ast.Call) and _last(inner.func) == "Table"]
    tables = tuple(_table(call) for call in calls if call.args)
    for call in calls:
        call.args, call.keywords = [], []
    return Statement(frozenset(_bound(node)), uses, imports, tables, sha256_bytes(ast.dump(node).encode()))


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _bound(node: ast.stmt) -> Iterator[str]:
    """The names that a top-level statement binds; none for one that is there for what it does."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            yield from (inner.id for inner in ast.walk(target) if isinstance(inner, ast.Name))


def _table(call: ast.Call) -> Entries:
    given = {word.arg: word.value for word in call.keywords}
    given |= dict(zip(("entries", "chosen_by", "groups"), call.args, strict=False))
    values = {key: ast.literal_eval(value) for key, value in given.items() if key}
    chosen_by = values["chosen_by"]
    keys = (chosen_by,) if isinstance(chosen_by, str) else tuple(chosen_by)
    return Entries(values["entries"], keys, values.get("groups") or {})


def _last(node: ast.AST) -> str:
    """The last name of a chain: `progress` of `self.progress`."""
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


@dataclass(frozen=True)
class Watchers:
    """The names of a module that watch: `openers` come from rooms that only watch, `handles` are what they opened."""

    openers: frozenset[str]
    handles: frozenset[str]


def watchers(tree: ast.AST, watching: tuple[str, ...]) -> Watchers:
    """Which names of a module watch: loggers, and values that a room of `watching` opened or typed."""
    openers: set[str] = set()
    handles: set[str] = set()
    nodes = list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(watching):
            openers |= {alias.asname or alias.name for alias in node.names} - set(ERRORS)
    for node in nodes:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            pairs = [pair for target in targets for pair in _pairs(target, node.value)]
            handles |= {_last(target) for target, value in pairs if _opens(value, openers)}
        if isinstance(node, ast.AnnAssign | ast.arg) and _mentions(node.annotation, openers):
            handles.add(node.arg if isinstance(node, ast.arg) else _last(node.target))
    if "log" in openers:
        handles.add("log")
    for node in nodes:
        if isinstance(node, ast.For) and _last(node.iter) in handles:
            handles.add(_last(node.target))
    return Watchers(frozenset(openers), frozenset(handles - {""}))


def _pairs(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr]]:
    """(target, value) of an assignment, one by one where tuples are assigned."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        return list(zip(target.elts, value.elts, strict=True))
    return [(target, value)]


def _opens(value: ast.AST | None, openers: set[str]) -> bool:
    if not isinstance(value, ast.Call):
        return False
    return _last(value.func) in openers or ast.unparse(value.func) == "logging.getLogger"


def _mentions(annotation: ast.AST | None, openers: set[str]) -> bool:
    return annotation is not None and any(_last(node) in openers for node in ast.walk(annotation))


class Silence(ast.NodeTransformer):
    """Takes out of a syntax tree what only tells people something."""

    def __init__(self, names: Watchers) -> None:
        self.names = names

    def visit(self, node: ast.AST) -> ast.AST | None:
        found = super().visit(node)
        if isinstance(found, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            _drop_docstring(found)
        if isinstance(found, ast.stmt | ast.ExceptHandler) and getattr(found, "body", True) == []:
            return self._without_body(found)
        return found

    def visit_Pass(self, _: ast.Pass) -> None:
        """Goes; a body that is left empty gets one again."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if self._tells(node.value) else self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = _last(node.func)
        if name in ERRORS or name in self.names.openers:
            node.args, node.keywords = [], []
        elif name == "add_argument":
            node.keywords = [word for word in node.keywords if word.arg not in HELP]
        return self.generic_visit(node)

    def _tells(self, value: ast.AST) -> bool:
        """Whether an expression is a call of a watcher's method, given nothing that acts by itself."""
        called = isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute)
        if not called or _last(value.func.value) not in self.names.handles:  # type: ignore[attr-defined]
            return False
        return not any(isinstance(node, ast.NamedExpr | ast.Await | ast.Yield) for node in ast.walk(value))

    def _without_body(self, node: ast.AST) -> ast.AST | None:
        """A statement of which nothing is left but its head: none of it, unless the head may do something."""
        head = node.test if isinstance(node, ast.If) else node.iter if isinstance(node, ast.For) else None
        calls = [one for one in ast.walk(head) if isinstance(one, ast.Call)] if head is not None else []
        watching = all(self._tells(call) for call in calls)
        if head is not None and watching and not getattr(node, "orelse", None):
            return None
        node.body = [ast.Pass()]  # type: ignore[attr-defined]
        return node


def _drop_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        node.body = node.body[1:]
    if not isinstance(node, ast.Module):
        node.body = node.body or [ast.Pass()]
