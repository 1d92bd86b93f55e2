#!/usr/bin/env bash
# Runs every fuzz target of the tree on so many inputs (default 40000x), one after another: go test -fuzz takes one at a time.
# A failing input is kept by go test under testdata/fuzz of its package, to be committed with the fix. Inputs are counted,
# since go test before 1.27 fails now and then, with "context deadline exceeded", when a time is given (https://go.dev/issue/75804).
set -euo pipefail
cd "$(dirname "$0")/.."

budget=${1:-40000x}
targets=$(git ls-files --cached --others --exclude-standard '*_test.go' | while read -r f; do
	sed -nE "s#^func (Fuzz[A-Za-z0-9_]*)\(.*#$(dirname "$f") \1#p" "$f"
done)
if [ -z "$targets" ]; then
	echo "there are no fuzz targets"
	exit 0
fi
while read -r package target; do
	echo "fuzzing $target in $package with $budget"
	"${GO:-go}" test -run '^$' -fuzz "^$target\$" -fuzztime "$budget" -fuzzminimizetime 200x "./$package" </dev/null
done <<<"$targets"
