#!/usr/bin/env bash
# Runs every fuzz target of the tree for a while (default 10s), one after another: go test -fuzz takes one at a time. A failing
# input is kept by go test under testdata/fuzz of its package, to be committed with the fix.
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:-10s}
targets=$(git ls-files --cached --others --exclude-standard '*_test.go' | while read -r f; do
	sed -nE "s#^func (Fuzz[A-Za-z0-9_]*)\(.*#$(dirname "$f") \1#p" "$f"
done)
if [ -z "$targets" ]; then
	echo "there are no fuzz targets"
	exit 0
fi
while read -r package target; do
	echo "fuzzing $target in $package for $time"
	"${GO:-go}" test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "./$package" </dev/null
done <<<"$targets"
