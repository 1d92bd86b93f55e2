#!/usr/bin/env bash
# All static checks: golangci-lint with .golangci.yml, and deadcode for what no program and no test reaches. Where golangci-lint
# cannot be built in time: formatting, go vet and staticcheck.
set -euo pipefail
cd "$(dirname "$0")/.."

checks() {
	if tools/build.sh golangci-lint; then
		.bin/golangci-lint run --allow-serial-runners ./... # a second run waits for the first
		return
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
}

# deadcode sees exported functions too, which the others take for somebody else's. Its exit code does not tell what it found.
# pkg is for apps: there a test must call what an app may. Examples without output are compiled only.
dead() {
	tools/build.sh deadcode
	found=$(.bin/deadcode -test ./...)
	found=$(grep -v '_test.go:.*unreachable func: Example' <<<"$found" || true)
	if [ -n "$found" ]; then
		printf 'nothing calls these, not even a test:\n%s\n' "$found" >&2
		exit 1
	fi
}

checks
dead
