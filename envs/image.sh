#!/usr/bin/env bash
# Makes of a Debian the environment that the workflow runs in: /opt/abovo, from envs/requirements.lock.
#
# envs/Dockerfile and envs/apptainer.def run it as root. What is installed stands here alone; pip's and apt's own settings
# are those of whoever builds. It leaves no cache, no key and nothing of this project but the lock.
set -euo pipefail
lock=${1:?the path of requirements.lock}
place=/opt/abovo

packages=(
    # certificates of the hub and of pip's index
    ca-certificates
    # torch.compile, Triton and DeepSpeed's operators compile as they are first used
    g++
    python3.11-dev
    # a workflow that another project takes from a repository
    git
    # the interpreter of envs/*.yaml and of `make`
    python3.11
    python3.11-venv
)
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install --yes --no-install-recommends "${packages[@]}"
rm -rf /var/lib/apt/lists/*

python3.11 -m venv "$place"
"$place/bin/python" -m pip install --no-cache-dir --progress-bar off --requirement "$lock"
"$place/bin/python" -m pip check
install -m 644 "$lock" "$place/requirements.lock"

# Who runs it where nobody else is named; the project's folder is mounted at /work
useradd --uid 1000 --home-dir /work --create-home abovo
