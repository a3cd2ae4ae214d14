#!/usr/bin/env bash
# Turns envs/requirements.in into envs/requirements.lock: the exact version of everything, as pip resolves it on Linux.
#
# `bash envs/lock.sh` installs into a fresh environment first; `bash envs/lock.sh PYTHON` writes down what an existing
# environment holds.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${1:-}
if [[ -z $python ]]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    python3.11 -m venv "$folder"
    python=$folder/bin/python
    "$python" -m pip install --requirement envs/requirements.in
fi

# Local suffixes (+cpu, +cu130) name one build of torch, and its nvidia packages and triton belong to that build alone:
# without them pip takes the build that the machine's own index offers, and what this build's metadata asks for.
# DeepSpeed and what only DeepSpeed needs are for Linux.
"$python" -m pip freeze --all --exclude-editable --exclude abovo --exclude pip --exclude wheel |
    sed -E \
        -e 's/^([A-Za-z0-9._-]+==[^+ ]+)\+[^ ]*$/\1/' \
        -e '/^(nvidia-|cuda-|triton)/d' \
        -e 's/^(deepspeed|hjson|msgpack|ninja|py-cpuinfo)==.*$/& ; sys_platform == "linux"/' |
    LC_ALL=C sort --ignore-case >envs/.requirements.lock.partial

if grep -v -E '^[A-Za-z0-9._-]+==[^ ]+( ; .*)?$' envs/.requirements.lock.partial >&2; then
    echo "error: the lines above are not exact pins; install those packages from an index" >&2
    exit 1
fi
{
    echo "# Written by \`make lock\` from requirements.in; change that file, not this one."
    cat envs/.requirements.lock.partial
} >envs/requirements.lock
rm envs/.requirements.lock.partial
