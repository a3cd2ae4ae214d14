"""Both images are made of the lock by one script, agree with each other, and jobs get the one that the config names."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from abovo.config import containers
from abovo.config.containers import arguments_with, image_of
from abovo.config.overrides import known_keys
from abovo.errors import AbovoError

ENVS = Path("envs")
DOCKERFILE = (ENVS / "Dockerfile").read_text(encoding="utf-8")
DEFINITION = (ENVS / "apptainer.def").read_text(encoding="utf-8")
SCRIPT = (ENVS / "image.sh").read_text(encoding="utf-8")
# Apptainer leaves home and user as they are outside, and passes the driver in by --nv
OF_DOCKER_ALONE = {"HOME", "USER", "NVIDIA_DRIVER_CAPABILITIES"}


def instructions() -> list[tuple[str, str]]:
    """(instruction, words) of the Dockerfile, continued lines joined, comments left out."""
    lines = [line for line in DOCKERFILE.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(line.split(None, 1)[0], line.split(None, 1)[1].strip()) for line in joined.splitlines() if line.strip()]


def said(instruction: str) -> list[str]:
    return [words for name, words in instructions() if name == instruction]


def section(name: str) -> str:
    return re.split(r"^%\w+$", DEFINITION.partition(f"\n%{name}\n")[2], flags=re.MULTILINE)[0]


def pairs(text: str) -> dict[str, str]:
    return {key: value.strip('"') for key, value in re.findall(r"([\w.]+)=(\"[^\"]*\"|\S+)", text)}


def test_both_images_stand_on_one_base_and_run_the_script_with_the_lock():
    (base,) = said("ARG")
    header = dict(line.split(": ") for line in DEFINITION.splitlines() if re.match(r"\w+: ", line))
    assert header == {"Bootstrap": "docker", "From": base.removeprefix("BASE=")}
    assert said("FROM") == ["${BASE}"]
    call = "bash /tmp/envs/image.sh /tmp/envs/requirements.lock"
    assert [call in run for run in said("RUN")] == [True]
    assert call in section("post")
    # `docker build ... envs`, so words of COPY are names in that folder; those of %files begin in the checkout
    *copied, there = said("COPY")[0].split()
    moved = dict(line.split() for line in section("files").splitlines() if line.strip())
    assert moved == {f"envs/{name}": there + name for name in copied}
    assert set(copied) == {"requirements.lock", "image.sh"}


def test_all_that_is_installed_stands_in_the_script_once():
    for text in (DOCKERFILE, DEFINITION):
        assert not re.search(r"apt|pip install|conda", "\n".join(re.findall(r"^[^#]+$", text, re.MULTILINE)))
    packages = re.search(r"^packages=\((.*?)^\)", SCRIPT, re.DOTALL | re.MULTILINE)[1]
    packages = [line.strip() for line in packages.splitlines() if not line.strip().startswith("#") and line.strip()]
    assert sorted(set(packages)) == sorted(packages)
    assert {"g++", "python3.11", "python3.11-dev", "python3.11-venv"} <= set(packages)
    assert SCRIPT.count("apt-get install") == SCRIPT.count("pip install") == 1
    assert '--requirement "$lock"' in SCRIPT and "==" not in SCRIPT


def test_python_is_that_of_the_conda_environments():
    for path in ENVS.glob("*.yaml"):
        (python,) = (one for one in yaml.safe_load(path.read_text())["dependencies"] if str(one).startswith("python="))
        assert set(re.findall(r"python3\.\d+", SCRIPT)) == {python.replace("=", "")}


def test_labels_environment_and_what_is_started_are_the_same():
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    labels = pairs(said("LABEL")[0])
    assert labels == dict(line.split(None, 1) for line in section("labels").splitlines() if line.strip())
    assert {key.rpartition(".")[2]: value for key, value in labels.items()} == {
        "title": project["name"], "version": project["version"], "licenses": project["license"],
    }  # fmt: skip
    values, exported = pairs(said("ENV")[0]), pairs(section("environment"))
    assert {key: value for key, value in values.items() if key not in OF_DOCKER_ALONE} == exported
    assert values["PATH"].startswith(re.search(r"^place=(.*)$", SCRIPT, re.MULTILINE)[1] + "/bin:")
    assert said("CMD") == ['["bash"]'] and not said("ENTRYPOINT")
    assert section("runscript").strip() == 'exec "${@:-bash}"'


def test_whoever_runs_the_image_is_not_root_and_needs_no_writable_place_in_it():
    (user,) = said("USER")
    assert re.search(rf"^useradd .* {user}$", SCRIPT, re.MULTILINE) and user != "root"
    values = pairs(said("ENV")[0])
    assert [values["HOME"]] == said("WORKDIR") and values["PYTHONDONTWRITEBYTECODE"] == "1"


def test_no_secret_is_copied_or_set():
    for text in (DOCKERFILE, DEFINITION, SCRIPT):
        assert not re.search(r"(?i)(token|password|api_?key)\s*=", text)
    assert all("--mount=type=secret" in run for run in said("RUN"))


def test_one_directive_gives_all_rules_their_image():
    found = [
        line for path in Path("rules").glob("*.smk") for line in path.read_text().splitlines() if "container:" in line
    ]
    assert found == ["container: clear(image_of, config, CONTAINED, workflow.modifier.is_main_snakefile())"]
    assert "container:" not in Path("Snakefile").read_text()
    shipped = yaml.safe_load(Path("config/config.yaml").read_text())
    assert image_of(shipped, wanted=False, alone=True) is None
    assert known_keys(shipped, ["nano"], True, {}) == ""


def test_image_is_a_file_that_is_there_or_what_a_registry_calls_it(tmp_path):
    image = tmp_path / "abovo.sif"
    image.touch()
    for name in (str(image), "docker://ghcr.io/someone/abovo:1"):
        assert image_of({"container": name}, wanted=True, alone=True) == name
    assert image_of({"container": "gone.sif"}, wanted=False, alone=True) == "gone.sif"
    assert image_of({}, wanted=True, alone=False) is None


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"container": None}, "--sdm apptainer: no image is named"),
        ({"container": "gone.sif"}, "--config container: gone.sif is not there; build it: apptainer build gone.sif"),
        ({"container": "my image.sif"}, "--config container: 'my image.sif' is no image"),
        ({"container": 3}, "--config container: 3 is no image"),
    ],
)
def test_what_cannot_be_an_image_is_one_line(config, words):
    with pytest.raises(AbovoError) as told:
        image_of(config, wanted=True, alone=True)
    assert str(told.value).startswith(words)


def test_apptainer_sees_the_checkout_and_results_elsewhere_and_the_cards(tmp_path, monkeypatch):
    here, there = tmp_path / "project", tmp_path / "anna's abovo"
    monkeypatch.setattr(containers, "DRIVER", tmp_path / "nvidiactl")
    assert arguments_with("", here, [here, here / "results"]) == ""
    once = arguments_with("--bind /data", here, [there, here / "results"])
    assert once == f"--bind /data --bind '{tmp_path}/anna'\"'\"'s abovo'"
    (tmp_path / "nvidiactl").touch()
    twice = arguments_with(once, here, [there])
    assert twice == f"{once} --nv"
    assert arguments_with(twice, here, [there]) == twice


def test_arguments_are_compared_as_words_not_as_parts_of_them(tmp_path, monkeypatch):
    monkeypatch.setattr(containers, "DRIVER", tmp_path)
    home, main = Path("/home/p"), Path("/srv/tree")
    for given in ("--bind /srv/tree2", "--env X=--nvme --bind /srv/tree:/else", "--bind=/srv", "--home /srv/tree"):
        assert arguments_with(given, home, [main]) == f"{given} --bind /srv/tree --nv"
    for given in ("-B /data,/srv/tree:/srv/tree:ro --nv", "--nv --bind=/srv/tree", "--bind '/srv/tree' --nv"):
        assert arguments_with(given, home, [main]) == given


@pytest.mark.parametrize(
    ("given", "here", "place", "told"),
    [
        ("", "/home/p", "/srv/a,b", "/srv/a,b: has a ',' in its name, so it cannot be shown to jobs in an image"),
        ("", "/home/p", "/srv/a:b", "/srv/a:b: has a ':' in its name"),
        ("", "/home/p:q", "/home/p:q/main", "/home/p:q: has a ':' in its name"),
        ("--env 'X=1", "/home/p", "/srv/tree", '--apptainer-args: "--env \'X=1" cannot be read (No closing'),
    ],
)
def test_a_folder_that_apptainer_cannot_be_told_of_is_one_line(given, here, place, told):
    with pytest.raises(AbovoError) as caught:
        arguments_with(given, Path(here), [Path(place)])
    assert str(caught.value).startswith(told) and "\n" not in str(caught.value)
