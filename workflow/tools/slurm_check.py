"""Look at a SLURM cluster before the first submission: partitions, accounts, and what its nodes see of this folder.

    python workflow/tools/slurm_check.py

A job of seconds runs on a node with a processor, and on one with a GPU. The status is 1 where something will not do.
"""

import argparse
from pathlib import Path

from abovo.console.launch import run, script_parser


def arguments() -> argparse.ArgumentParser:
    parser = script_parser(__doc__)
    parser.add_argument(
        "--profile", type=Path, default=Path("profiles/slurm"), help="folder of the profile (default: %(default)s)"
    )
    return parser


def main(options: argparse.Namespace) -> None:
    from abovo.cluster.check import check, table
    from abovo.errors import AbovoError
    from abovo.settings.strict_yaml import read_yaml

    path = options.profile / "config.yaml"
    site = read_yaml(path).data.get("default-resources") or {}
    if not isinstance(site, dict):
        raise AbovoError("default-resources is a list", path, "write it as keys and values: slurm_partition: gpu")
    rows = check(site, Path.cwd())
    print("\n".join(table(rows)))
    if any(row.good is False for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    run(main, arguments())
