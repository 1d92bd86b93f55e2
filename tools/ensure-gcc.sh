#!/usr/bin/env bash
# Makes sure that there is a C compiler: the where clause parser is Postgres' own, in C. Installs one where that needs no
# questions (root with apt), and says what to install elsewhere.
set -euo pipefail

cc=$(go env CC)
command -v "$cc" >/dev/null && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "no C compiler ($cc) here: installing gcc" >&2
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -q </dev/null >&2
	apt-get install -y -q --no-install-recommends gcc libc6-dev </dev/null >&2
	exit 0
fi
echo "There is no C compiler ($cc) here, and Shapebus needs one to build. Install it:" >&2
echo "  Debian, Ubuntu: sudo apt-get install -y gcc libc6-dev      macOS: xcode-select --install" >&2
exit 1
