"""Compare the INL family with a transformer of equal parameters on nano's text: tuned trials, probes, and a report.

snakemake --cores 2 results/packed/nano/nano-4k/256/manifest.json    # the text
python benchmarks/inl.py trials      # some 75 minutes of one core; a study that was stopped goes on
python benchmarks/inl.py probes      # speed, memory, decoding, trajectories with their figure: some 15 minutes
python benchmarks/inl.py auxiliary   # losses on the trajectories beside the cross-entropy: some 10 minutes
python benchmarks/inl.py report      # tables of what is there
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from inl_trials import CONTESTANTS, SEEDS, Study, Trial, with_held_out
from trained import Runs

PACKED, TOKENIZER = "packed/nano/nano-4k/256/manifest.json", "tokenizers/nano-4k/tokenizer_config.json"
# Of the held-out rows of each source, what rates are tuned on and what is reported (shares)
PARTS = (("tuning", 0.0, 0.25), ("reported", 0.25, 1.0))
PROBES = ("speed", "decoding", "trajectories")
# Rows of the held-out text that trajectories are of, how many steps they are followed beyond a model's own, and what
# |x - mu| / sqrt(D) is left at, on the mean of ids, by those that run away
PROBED_ROWS, LATER, FAR = 8, 200, 100.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("trials", "probes", "auxiliary", "report"))
    parser.add_argument(
        "--results", type=Path, default=Path("results"), help="folder with nano's text (default: results)"
    )
    parser.add_argument("--tuning-tokens", type=int, default=102_400, help="of each tuning trial (default: 102,400)")
    parser.add_argument("--tokens", type=int, default=204_800, help="of each trial at equal tokens (default: 204,800)")
    parser.add_argument("--nice", type=int, default=10, help="how far trials stand back for others (default: 10)")
    parser.add_argument("--only", nargs="+", choices=PROBES, default=PROBES, help="probes (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="of probes, in which contestants take turns (default: 3)")
    parser.add_argument("--figure", type=Path, default=Path("docs/inl-trajectories.svg"), help="where it is drawn")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "abovo-benchmark-inl")
    return parser.parse_args()


def study_of(options: argparse.Namespace) -> Study:
    packed, tokenizer = options.results / PACKED, options.results / TOKENIZER
    if not packed.exists():
        sys.exit(f"error: {packed} is missing; make it: snakemake --cores 2 results/{PACKED}")
    tuning, reported = (
        Runs(
            options.work, tokenizer.resolve(),
            with_held_out(packed, first, end, options.work.resolve() / name / "manifest.json"),
            together=1, nice=options.nice, outcomes=True,
        )
        for name, first, end in PARTS
    )  # fmt: skip
    return Study(tuning, reported, options.tuning_tokens, options.tokens, options.part in ("trials", "auxiliary"))


def followed(study: Study, figure: Path) -> dict[str, dict[str, float]]:
    """Draw the trajectories of both contexts, at first weights and at those of the first seed at equal tokens; their
    largest norms over blocks and the model's own steps, and after how many steps the state of some block is far off."""
    import torch
    from inl_probes import built, draw, trajectory

    from abovo.modeling.family import open_model
    from abovo.packing.bins import open_bin
    from abovo.provenance.manifest import read_manifest

    rows = open_bin(read_manifest(study.runs.packed, "abovo/packed/1"), "val")
    ids = torch.from_numpy(rows[:: len(rows) // PROBED_ROWS][:PROBED_ROWS].astype("int64"))
    lines: dict[str, dict[str, Any]] = {}
    found = {}
    for name, choice in study.choices().items():
        one = CONTESTANTS[name]
        folder = study.runs.model_of(study.settings(Trial(name, None, study.tokens, SEEDS[0]), choice))
        if one.model()["family"] != "inl" or not folder.exists():
            continue
        models = {"initial": built(one, **{one.knob[0]: choice.knob}), "trained": open_model(folder).eval()}
        lines[name] = {label: trajectory(model, ids) for label, model in models.items()}
        for label, model in models.items():
            away, velocity = lines[name][label].flatten(0, 1).amax(0).tolist()
            stays = (trajectory(model, ids, LATER)[..., 0] < FAR).all(0).tolist()
            steps = stays.index(False) if False in stays else LATER
            found[f"{name}, {label}"] = {"away": away, "velocity": velocity, "steps": steps}
    if lines:
        draw(lines, figure)
    return found


def probe(study: Study, options: argparse.Namespace) -> None:
    """Take the probes that are asked for and keep what they find beside the trials."""
    from inl_probes import decoding, speeds

    kept = options.work / "probes.json"
    kinds = {
        "speed": lambda: speeds(options.rounds),
        "decoding": lambda: decoding(rounds=options.rounds),
        "trajectories": lambda: followed(study, options.figure),
    }
    for name in options.only:
        found = json.loads(kept.read_text()) if kept.exists() else {}
        kept.write_text(json.dumps({**found, name: kinds[name]()}, indent=1))


def main() -> None:
    options = arguments()
    study = study_of(options)
    if options.part == "auxiliary":
        from inl_auxiliary import auxiliary

        print(auxiliary(study))
        return
    if options.part == "trials":
        study.results()
    elif options.part == "probes":
        probe(study, options)
    from inl_report import report

    kept = options.work / "probes.json"
    study.train = False
    print(report(study, options.results / TOKENIZER, json.loads(kept.read_text()) if kept.exists() else {}))


if __name__ == "__main__":
    main()
