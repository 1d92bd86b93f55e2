#!/usr/bin/env bash
# All static checks by golangci-lint with .golangci.yml. Where that cannot be built in time: formatting, go vet and staticcheck.
set -euo pipefail
cd "$(dirname "$0")/.."

if tools/build.sh golangci-lint; then
	exec .bin/golangci-lint run --allow-serial-runners ./... # a second run waits for the first
fi
echo "falling back to gofumpt, go vet and staticcheck" >&2
tools/build.sh gofumpt
tools/build.sh staticcheck
unformatted=$(git ls-files -z --cached --others --exclude-standard '*.go' | xargs -0 .bin/gofumpt -l)
if [ -n "$unformatted" ]; then
	printf 'not formatted as gofumpt does it:\n%s\n' "$unformatted" >&2
	exit 1
fi
go vet ./...
.bin/staticcheck ./...
