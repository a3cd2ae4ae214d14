"""The code hash covers what a script reaches, and nothing else."""

from abovo.provenance import code


def test_hash_reaches_imported_modules_wherever_the_import_stands(root):
    reached = set()
    waiting = [root / "workflow" / "scripts" / "pretrain.py"]
    while waiting:
        _, imported = code._module(waiting.pop())
        waiting += [code._path(name) for name in imported if name not in reached]
        reached |= set(imported)
    assert {"abovo.training.pretrain", "abovo.training.loop", "abovo.training.order", "abovo.packing.bins"} <= reached
    assert not any(name.startswith(("abovo.console", "abovo.evaluation", "abovo.packing.pack")) for name in reached)
