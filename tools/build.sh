#!/usr/bin/env bash
# Builds one of the tools pinned in tools/go.mod into .bin/, once for each version of that file. Fails when it cannot, or not in
# four minutes: the caller has something simpler to fall back on.
set -euo pipefail
cd "$(dirname "$0")"

tool=$1
package=$(sed -nE "s#^(tool)?[[:space:]]+([^ ]*/)?($tool)\$#\2\3#p" go.mod)
if [ -z "$package" ]; then
	echo "tools/go.mod names no tool $tool" >&2
	exit 1
fi
out=../.bin/$tool
if [ -x "$out" ] && [ "$out" -nt go.mod ]; then
	exit 0
fi
echo "building $tool, once" >&2
mkdir -p ../.bin
limit=()
if command -v timeout >/dev/null; then # macOS has none
	limit=(timeout 240)
fi
# CGO_ENABLED=0: none of them needs C, and their build must not wait for it.
if ! CGO_ENABLED=0 "${limit[@]}" go build -o "$out" "$package" </dev/null >&2; then
	echo "$tool could not be built in four minutes" >&2
	exit 1
fi
touch "$out"
