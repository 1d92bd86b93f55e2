#!/usr/bin/env bash
# Installs what the tests of e2e/gateway run beside the gateway: Node.js with npm, the clients of package-lock.json, Chromium and
# nginx. Installs where that needs no questions (root with apt), and fails with what is not there elsewhere: those tests are then
# skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
for program in node npm chromium nginx; do
	command -v "$program" >/dev/null || missing+=("$program")
done
if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "no ${missing[*]} here: installing the system's packages" >&2
	# nginx' package would start a server on port 80, which nobody asked for.
	policy=/usr/sbin/policy-rc.d
	if [ ! -e "$policy" ]; then
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod +x "$policy"
		trap 'rm -f "$policy"' EXIT
	fi
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -q </dev/null >&2
	apt-get install -y -q --no-install-recommends "${missing[@]/#node/nodejs}" </dev/null >&2
fi
for program in node npm chromium nginx; do
	if ! command -v "$program" >/dev/null; then
		echo "There is no $program here. Debian: sudo apt-get install -y nodejs npm chromium nginx" >&2
		exit 1
	fi
done

# What e2e/gateway does itself, but for the mark of what is installed.
cd e2e/gateway/js
if ! cmp -s package-lock.json node_modules/.installed; then
	npm ci --no-audit --no-fund --ignore-scripts --prefer-offline >&2
	cp package-lock.json node_modules/.installed
fi
