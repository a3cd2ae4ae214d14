"""Fetch the base model that a run names by its id on the hub, or any other one, into a folder of this machine.

    python workflow/tools/model.py --run quebec
    python workflow/tools/model.py --hub HuggingFaceTB/SmolLM2-135M --folder models/SmolLM2-135M

A gated model needs a token in HF_TOKEN. What is there already is not fetched again.
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser
from abovo.errors import AbovoError


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument("--run", help="run whose file has the key hub")
    parser.add_argument("--hub", help="id on the hub, OWNER/NAME, in place of a run")
    parser.add_argument("--revision", help="branch, tag or commit (default: that of the run's file, or main)")
    parser.add_argument("--folder", type=Path, help="where it is to lie (default: the run's model_directory)")
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.config.runs import Configuration
    from abovo.modeling.fetch import fetch_model
    from abovo.settings.names import SHIPPED

    name, revision, folder, code = options.hub, options.revision, options.folder, False
    if options.run and name is None:
        given = Configuration(Path("config"), shipped=SHIPPED).given(options.run)
        if given is None or given.hub is None:
            where = f"config/runs/{options.run}.yaml, key hub"
            raise AbovoError("names no model of the hub", where, "set it beside model_directory, or give --hub")
        name, revision = given.hub, revision or given.revision
        folder, code = folder or Path(given.model_directory), given.trust_remote_code
    if name is None or folder is None:
        raise AbovoError("names no model or no folder", "command line", "give --run alone, or --hub and --folder")
    fetch_model(name, revision, folder, code)


if __name__ == "__main__":
    run(main, arguments())
