#!/usr/bin/env bash
# Lists the packages whose tests import the given package, for flags that only this import makes known to them.
set -euo pipefail
cd "$(dirname "$0")/.."
git grep --untracked -lE "^(import)?[[:space:]]+\"$1\"\$" -- '*_test.go' | xargs -n1 dirname | sort -u | sed 's#^#./#'
