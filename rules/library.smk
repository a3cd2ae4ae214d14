# Where the library lies, and the first look at the configuration.
import subprocess
import sys
import tempfile
from pathlib import Path

from snakemake.sourcecache import LocalSourceFile


def checkout(rules):
    """The folder of this workflow, wherever Snakemake runs and whichever project imports it. Of a revision that Snakemake
    takes from a hosted repository all files are laid out below .snakemake: scripts need the library beside them.
    """
    if isinstance(rules, LocalSourceFile):
        return Path(str(rules)).resolve().parent
    git = ["git", "-C", rules.hosted_repo.repo_clone]
    name = subprocess.check_output([*git, "rev-parse", f"{rules.ref}^{{commit}}"])
    folder = Path(".snakemake/abovo", name.decode().strip()).resolve()
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(dir=folder.parent))
        files = subprocess.check_output([*git, "archive", folder.name])
        subprocess.run(["tar", "-x", "-C", place], input=files, check=True)
        place.rename(folder)
    return folder


# The library comes first, whatever is installed; scripts find it beside themselves (workflow/scripts/abovo), in conda
# environments and SLURM jobs too.
CHECKOUT = checkout(workflow.current_basedir)
sys.path.insert(0, str(CHECKOUT / "src"))

from abovo.errors import AbovoError
from abovo.settings.strict_yaml import read_yaml


def clear(function, *arguments):
    """Call a function of the library; its error ends Snakemake with one line and status 1, without a traceback."""
    try:
        return function(*arguments)
    except AbovoError as error:
        sys.exit(f"error: {error}")
    except OSError as error:  # storage that is not there, is full or may not be written
        sys.exit(
            f"error: {error.filename or 'disk'}: {error.strerror}; mend it, or name another place"
        )


# Snakemake reads these files next and lets pass what is read in two ways, a key that stands twice among it.
SET_BY_FILES = {}
for file in ("config/config.yaml", *workflow.overwrite_configfiles):
    if Path(file).is_file() and Path(file).suffix in (".yaml", ".yml"):
        SET_BY_FILES[file] = clear(read_yaml, Path(file)).data.get("set")
