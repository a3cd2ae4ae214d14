"""The lock pins everything exactly, and the conda environments pin the same versions."""

import importlib.metadata
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from abovo.config.load import load, names

ENVS = Path("envs")
STAGES = ("data", "training", "evaluation", "reporting", "export")


def pins(lines):
    """Package name -> (version, marker) of lines NAME==VERSION ; MARKER."""
    found = {}
    for line in lines:
        if line.strip() and not line.startswith("#"):
            match = re.fullmatch(r"([\w.-]+)(?:\[\w+\])?==([^\s;+]+)(?: ; (.+))?", line.strip())
            assert match, f"not an exact pin: {line}"
            found[normal(match[1])] = (match[2], match[3])
    return found


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


LOCK = pins((ENVS / "requirements.lock").read_text(encoding="utf-8").splitlines())


def environment(stage):
    data = yaml.safe_load((ENVS / f"{stage}.yaml").read_text(encoding="utf-8"))
    return data, pins(next(item["pip"] for item in data["dependencies"] if isinstance(item, dict)))


def test_lock_names_no_build_of_torch():
    assert LOCK["torch"] == ("2.13.0", None)
    assert not [name for name in LOCK if name.startswith(("nvidia-", "cuda-", "triton"))]
    assert LOCK["deepspeed"][1] == 'sys_platform == "linux"'


def test_lock_holds_what_was_asked_for():
    wanted = pins((ENVS / "requirements.in").read_text(encoding="utf-8").splitlines())
    assert {name: LOCK.get(name) for name in wanted} == wanted


def test_lock_is_closed():
    """Whatever a locked package requires on this machine is locked as well."""
    from packaging.requirements import Requirement

    missing = set()
    for name in LOCK:
        try:
            requires = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for requirement in map(Requirement, requires):
            here = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if here and not requirement.name.startswith(("nvidia-", "cuda-", "triton")):
                missing |= {normal(requirement.name)} - set(LOCK)
    assert not missing


@pytest.mark.parametrize("stage", STAGES)
def test_environment_pins_what_the_lock_pins(stage):
    data, found = environment(stage)
    assert data["name"] == f"abovo-{stage}"
    assert "python=3.11" in data["dependencies"]
    assert {name: LOCK.get(name) for name in found} == found


def test_data_environment_holds_the_packages_that_corpora_read():
    _, found = environment("data")
    for name in names("corpora", Path("config")):
        for source in load("corpora", name, Path("config")).sources.values():
            if source.type == "package":
                wanted = {normal(package.partition("==")[0]) for package in source.packages}
                assert wanted <= set(found), f"config/corpora/{name}.yaml needs {wanted - set(found)} in envs/data.yaml"


RULE = re.compile(r'conda:\s+environment\("(\w+)"\).*?script=path_of\("(\w+)"\)', re.DOTALL)


def rules():
    """(environment, script) of every rule."""
    found = set()
    for path in sorted(Path("rules").glob("*.smk")):
        for block in re.split(r"^rule ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            match = RULE.search(block)
            assert match, f"{path}: rule {block.splitlines()[0]} names no environment or no script"
            found.add((match[1], match[2]))
    return sorted(found)


@pytest.mark.parametrize(("stage", "script"), rules())
def test_environment_holds_what_its_scripts_import(stage, script):
    """Every package that a script can reach through modules of ours is pinned in the environment of its rule."""
    import ast
    import sys

    from abovo.provenance.code import _path, reached

    distributions = importlib.metadata.packages_distributions()
    _, found = environment(stage)
    main = Path(f"workflow/scripts/{script}.py")
    for path in [main, *(_path(module) for module in reached(main, {}) if module != "__main__")]:
        if stage == "reporting" and path.parent.name == "modeling":
            # plans and results ask a family for arithmetic on settings alone, which needs none of its libraries
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for module in {module.split(".")[0] for module in modules} - {"abovo"} - sys.stdlib_module_names:
                owners = {normal(owner) for owner in distributions.get(module, [module])}
                assert owners & set(found), f"{path} imports {module}, which envs/{stage}.yaml does not pin"


def test_setup_is_valid_shell():
    for path in (*ENVS.glob("*.sh"), Path(".ci/run")):
        subprocess.run(["bash", "-n", str(path)], check=True)


def test_setup_leaves_alone_what_a_linked_environment_points_to(tmp_path):
    other, here = tmp_path / "other/.venv", tmp_path / "here"
    (other / "bin").mkdir(parents=True)
    (other / "bin/python").write_text("of another checkout")
    shutil.copytree(ENVS, here / "envs")
    (here / ".venv").symlink_to(other)
    done = subprocess.run(["bash", str(here / "envs/setup.sh")], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith(f"error: .venv is a link to {other}") and done.stderr.count("\n") == 1
    assert (other / "bin/python").read_text() == "of another checkout" and (here / ".venv").is_symlink()
