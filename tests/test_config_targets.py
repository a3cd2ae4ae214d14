"""What is asked for and nothing makes is answered with what is meant, or with what there is."""

import re

import pytest

from abovo.config.runs import Configuration
from abovo.config.targets import refuse_unknown
from abovo.errors import AbovoError

NAME = "[A-Za-z0-9_-]+"
PATTERNS = (
    f"results/plan/{{run,{NAME}}}/plan.json",
    f"results/corpora/{{corpus,{NAME}}}/manifest.json",
    r"results/corpora/{corpus}/sources/{source}/{part,\d+}/manifest.json",
    "results/{stage,pretrain|sft}/{run}{below,(/phase-[a-z0-9-]+)?}/results.json",
    "results/{stage,pretrain|sft}/{run}{below,(/phase-[a-z0-9-]+)?}/evaluation.json",
    "results/sft/{run}/model/model.safetensors",
)


def made(target: str) -> bool:
    return re.fullmatch(f"results/(pretrain|sft|plan)/{NAME}/(results|plan|evaluation).json|all", target) is not None


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (
            "results/sft/nano",
            "did you mean results/sft/nano/results.json?; the runs are babylm-strict-small, inl-3b, inl-4b",
        ),
        ("results/sft/nano/", "did you mean results/sft/nano/results.json?"),
        ("results/evaluate/nano/results.json", "did you mean results/sft/nano/results.json?"),
        ("results/sft/nano/result.json", "did you mean results/sft/nano/results.json?"),
        ("nano", "did you mean results/sft/nano/results.json?"),
        ("results/corpora/nano", "did you mean results/corpora/nano/manifest.json?"),
        ("results/plan/my run/plan.json", "'my run' is no name: letters (a-z), digits, - and _ make a name"),
        ("results/plan/größer/plan.json", "'größer' is no name"),
        ("results/plan/nano.v2/plan.json", "'nano.v2' is no name"),
        (
            "mine",
            "there are results/corpora/{corpus}/manifest.json, results/plan/{run}/plan.json, results/{stage}/{run}",
        ),
        ("README.md", "there are results/corpora/{corpus}/manifest.json"),
        ("/elsewhere/results/sft/nano/results.json", "names no artifact"),
    ],
)
def test_unknown_target_is_one_line_with_what_there_is(root, target, words):
    with pytest.raises(AbovoError) as error:
        refuse_unknown(Configuration(root / "config"), ["all", target], made, PATTERNS)
    assert words in str(error.value)
    assert str(error.value).startswith(f"target {target!r}: names no artifact; ")


def test_known_targets_pass(root):
    targets = ["all", "results/sft/nano/results.json", "./results/plan/nano/plan.json", "results/sft/mine/results.json"]
    refuse_unknown(Configuration(root / "config"), targets, made, PATTERNS)
