"""The code hash covers what a script reaches with its settings, and nothing that only tells."""

import ast
import textwrap

import pytest

from abovo.provenance import code, syntax
from abovo.provenance.code import code_hash, reached
from abovo.provenance.tables import Table, used

KINDS = """
    from abovo.provenance.tables import Table
    KINDS = Table({{"a": "abovo.kinds:a", "b": "abovo.kinds:b"{more}}}, "engine.kind", groups={{"all": ("a", "b")}})
"""
ENTRIES = """
    import math
    from abovo.helper import help_b
    LIMIT = 2
    def a(): return LIMIT
    def b(): return _inner()
    def _inner(): return help_b({inner})
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A function that writes modules of a package called abovo and gives back the hash of its script main.py."""
    monkeypatch.setattr(code, "PACKAGE", tmp_path / "abovo")

    def write(settings=None, **modules):
        code._module.cache_clear(), code._path.cache_clear(), code._code_hash.cache_clear()
        for name, text in modules.items():
            path = tmp_path / ("main.py" if name == "main" else f"abovo/{name}.py")
            path.parent.mkdir(exist_ok=True)
            path.write_text(textwrap.dedent(text))
        return code_hash(tmp_path / "main.py", settings or {})

    yield write
    code._module.cache_clear(), code._path.cache_clear(), code._code_hash.cache_clear()


def tables(package, kind, more="", inner="1", helper="def help_b(n): return n"):
    return package(
        {"engine": {"kind": kind}},
        main="from abovo.table import KINDS",
        table=KINDS.format(more=more),
        kinds=ENTRIES.format(inner=inner),
        helper=helper,
    )


def test_hash_reaches_imported_modules_wherever_the_import_stands(root):
    modules = set(reached(root / "workflow" / "scripts" / "train.py", {}))
    assert {"abovo.training.job", "abovo.training.loop", "abovo.training.order", "abovo.packing.bins"} <= modules
    assert not any(name.startswith(("abovo.console", "abovo.evaluation", "abovo.packing.pack")) for name in modules)


def test_words_and_bounds_of_settings_change_nothing_since_their_values_count(package):
    classes = """
        from abovo.settings.keys import key
        class Training: rate: float = key({words!r}, default=1.0)
    """
    (code.PACKAGE / "settings").mkdir(parents=True)
    main = "from abovo.settings.training import Training"
    before = package({"rate": 1.0}, main=main, **{"settings/training": classes.format(words="The rate")})
    assert package({"rate": 1.0}, main=main, **{"settings/training": classes.format(words="Peak rate")}) == before


def test_new_entry_and_code_of_an_entry_that_is_not_used_change_nothing(package):
    before = tables(package, "a")
    assert tables(package, "a", more=', "c": "abovo.kinds:c"') == before
    assert tables(package, "a", inner="2") == before
    assert tables(package, "a", helper="def help_b(n): return 2 * n") == before


def test_code_of_a_used_entry_counts_as_far_as_it_reaches(package):
    before = tables(package, "b")
    assert tables(package, "b", inner="2") != before
    assert tables(package, "b", helper="def help_b(n): return 2 * n") != before
    assert tables(package, "a") != before


def test_all_entries_count_where_settings_name_none(package):
    parts = {
        "main": "from abovo.table import KINDS",
        "table": KINDS.format(more=""),
        "helper": "def help_b(n): return n",
    }
    before = package({}, **parts, kinds=ENTRIES.format(inner="1"))
    assert package({}, **parts, kinds=ENTRIES.format(inner="2")) != before


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"sources": {"x": {"type": "b"}, "y": {"type": "a"}}}, ["a", "b"]),
        ({"sources": {"x": {"type": "c"}}}, ["c"]),
        ({"sources": {"x": {"type": ["all"]}}}, ["a", "b"]),
        ({"sources": {"x": {"type": None}}}, []),
        ({"phases": [{"sources": {"x": {"type": "a"}}}]}, ["a"]),
        ({"type": "c"}, ["a", "b", "c"]),
    ],
)
def test_settings_name_entries_under_their_keys(settings, found):
    assert used(["a", "b", "c"], ["sources.*.type"], {"all": ["a", "b"]}, settings) == found


def test_table_imports_an_entry_on_use():
    table: Table = Table({"digest": "abovo.provenance.hashing:sha256_bytes", "no": "abovo.no:no"}, "kind")
    assert list(table) == ["digest", "no"] and table["digest"](b"")[:6] == "e3b0c4"
    with pytest.raises(ModuleNotFoundError):
        table["no"]


TELLING = """
    import logging
    from abovo.console.progress import Progress, duration
    from abovo.errors import AbovoError
    log = logging.getLogger("abovo")
    class Watched:
        def __init__(self, label): self.rows, self.progress = 0, Progress(label)
        def go(self, rows):
            for row in rows:
                self.progress.update("row")
            self.progress.close("rows")
    def work(n, progress: Progress):
        {statement}
        if n < 0:
            raise AbovoError("is negative", n, "use another")
        return n
"""


@pytest.mark.parametrize(
    "statement",
    [
        'log.info("at work on %s", n)',
        'progress.update(f"{n} of {duration(n)}")',
        'if n > 2: log.warning("much")',
        "# why",
    ],
)
def test_what_only_tells_counts_for_nothing(package, statement):
    before = package(main=TELLING.format(statement="pass"))
    text = TELLING.format(statement=statement)
    for old, new in (("is negative", "is below 0"), ('"row"', '"a row"'), ("Progress(label)", 'Progress("rows")')):
        assert old in text
        text = text.replace(old, new)
    assert package(main=text) == before


@pytest.mark.parametrize(
    "statement", ["n += 1", "if rows.pop(): log.info(n)", "log = n", "n = log.info(n)", 'log.info("%s", m := n)']
)
def test_what_acts_counts(package, statement):
    text = TELLING.format(statement=statement)
    assert package(main=text) != package(main=TELLING.format(statement="log.info(n)"))


def test_rooms_that_only_watch_give_no_value_back(root):
    """Outside of them, what they give is a handle: it is opened, told things, used as a context, and never read."""
    # times and memory of a training go into files that no hash covers
    allowed = {("abovo.training.loop", "row")}
    for path in sorted((root / "src/abovo").rglob("*.py")):
        module = ".".join(path.relative_to(root / "src").with_suffix("").parts)
        if module.startswith(code.WATCHING):
            continue
        tree = ast.parse(path.read_text())
        names = syntax.watchers(tree, code.WATCHING)
        told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        told |= {id(item.context_expr) for node in ast.walk(tree) if isinstance(node, ast.With) for item in node.items}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and id(node) not in told and _asks(node.func, names.handles):
                assert (module, node.func.attr) in allowed, f"{path}:{node.lineno} reads what a watcher says"


def _asks(function, handles):
    return isinstance(function, ast.Attribute) and syntax._last(function.value) in handles
