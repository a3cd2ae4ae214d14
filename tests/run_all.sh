#!/usr/bin/env bash
# All tests in two processes, those that run the workflow beside all others: each alone leaves half of two cores idle.
# The output of the first is shown when both are through; the status is not 0 when either failed.
set -uo pipefail
shown=$(mktemp)
trap 'kill "$beside" 2> /dev/null; rm -f "$shown"' EXIT
pytest -rs --durations=25 tests/integration > "$shown" 2>&1 &
beside=$!
status=0
pytest -rs --durations=25 --ignore=tests/integration || status=$?
wait "$beside" || status=$?
cat "$shown"
exit "$status"
