#!/usr/bin/env bash
# All tests in three processes, which take about as long: those that run the workflow, and those on a SLURM, wait for much.
# The output of these is shown when all are through; the status is not 0 when any failed. Words go to each of them.
set -uo pipefail
told=$(mktemp -d)
beside=()
trap 'kill "${beside[@]}" 2> /dev/null; rm -rf "$told"' EXIT
# the chain that tests of both look at is made once, here
export ABOVO_CHAIN="$told"
# models of tests are so small that a second thread costs more than it gives; what Snakemake starts is told its own number
export OMP_NUM_THREADS=1
words=(pytest -rs "$@")
slurm=tests/integration/test_slurm.py
"${words[@]}" tests/integration --ignore="$slurm" > "$told/workflow" 2>&1 &
beside+=("$!")
"${words[@]}" "$slurm" tests/test_[bc]*.py > "$told/slurm" 2>&1 &
beside+=("$!")
status=0
"${words[@]}" --ignore=tests/integration --ignore-glob="tests/test_[bc]*" || status=$?
for process in "${beside[@]}"; do wait "$process" || status=$?; done
cat "$told/workflow" "$told/slurm"
exit "$status"
