#!/usr/bin/env bash
# Makes .venv from envs/requirements.lock and puts the package itself into it; a second call installs nothing.
#
# What is installed is written in .venv/installed, last of all: the checksum of the lock, of pyproject.toml and of this
# folder's path. pip's own settings (index, find-links, cache, certificates) are those of the machine.
set -euo pipefail
cd "$(dirname "$0")/.."

for link in gpu slurm; do
    [[ -e $link ]] || ln -sfn "profiles/$link" "$link"
done

# An environment belongs to one checkout; through a link, the one of another checkout would be emptied
if [[ -L .venv ]]; then
    echo "error: .venv is a link to $(readlink .venv); remove it (rm .venv) to get an environment here, or use that one: source .venv/bin/activate" >&2
    exit 1
fi

wanted=$(cat envs/requirements.lock pyproject.toml <(pwd -P) | cksum)
if [[ -f .venv/installed && $(<.venv/installed) == "$wanted" ]] && .venv/bin/python -c '' 2>/dev/null; then
    exit 0
fi

fits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))'
interpreter=
for candidate in ${PYTHON:-} python3.11 python3; do
    if "$candidate" -c "$fits" 2>/dev/null; then
        interpreter=$candidate
        break
    fi
done
if [[ -z $interpreter ]]; then
    echo "error: no Python from 3.11 to 3.13 is on the PATH; install python3.11, or name one: make setup PYTHON=/path/to/python3" >&2
    exit 1
fi
if ! "$interpreter" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "error: $interpreter cannot make virtual environments; install python3-venv (Debian, Ubuntu) or another Python" >&2
    exit 1
fi

# Start from nothing where an installation was cut short (it may have left half a package), where the folder was moved
# or copied (the commands in .venv/bin hold its path), or where the interpreter is gone. A changed lock moves versions.
if [[ -f .venv/installing ]] || ! .venv/bin/python -c "$fits" 2>/dev/null ||
    [[ $(.venv/bin/pip --version 2>/dev/null) != *" $(pwd -P)/.venv/"* ]]; then
    "$interpreter" -m venv --clear .venv
fi
rm -f .venv/installed
touch .venv/installing
echo "Installing $(grep -c == envs/requirements.lock) packages into .venv (once; a few minutes, 2.3 GB without CUDA)"
.venv/bin/python -m pip install --progress-bar off --requirement envs/requirements.lock
# The package goes on Python's path by a line of its own: builders take braces in the name of this folder for variables
packages=$(.venv/bin/python -c 'import site; print(site.getsitepackages()[0])')
echo "$(pwd -P)/src" >"$packages/abovo.pth"
.venv/bin/python -m pip check
rm .venv/installing
echo "$wanted" >.venv/installed
