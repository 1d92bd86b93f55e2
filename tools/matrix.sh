#!/usr/bin/env bash
# Runs the suites that depend on what Postgres does on each of the named major versions (tools/matrix.sh 14 18), says at the end
# how many tests of each suite passed, failed and were skipped on each, and fails if any failed. What the tests said stays in
# .tools/matrix/VERSION.json, in the form of go test -json.
set -euo pipefail
cd "$(dirname "$0")/.."

suites=(internal/pg internal/pg/slots internal/pg/snapshots internal/pg/prepare internal/pg/preflight services/ingest e2e/flow internal/predicate)
if [ -d e2e/catalog ]; then
	suites+=(e2e/catalog)
fi
logs=.tools/matrix
mkdir -p "$logs"

# go test by way of gotestsum, which shows failures as they come; without it the log has them.
run_tests() {
	local log=$1
	shift
	if tools/build.sh gotestsum; then
		.bin/gotestsum --format testname --format-hide-empty-pkg --hide-summary=skipped --jsonfile "$log" -- "$@"
	else
		"${GO:-go}" test -json "$@" >"$log"
	fi
}

# How often the log of a version has a result of one suite's tests, subtests not counted.
count() { grep -E "\"Package\":\"[^\"]*/$2\",\"Test\":\"[^/\"]+\"" "$logs/$1.json" | grep -c "\"Action\":\"$3\"" || true; }

# A suite has failed when one of its tests has, or when it did not build, hung or panicked: the package has a result of its own.
result() { grep -E "\"Action\":\"(pass|fail|skip)\",\"Package\":\"[^\"]*/$2\",\"Elapsed\"" "$logs/$1.json" | grep -oE '"(pass|fail|skip)"' | tr -d '"'; }

for version in "$@"; do # before the first test runs: what cannot be installed shows at once
	tools/npm-postgres.sh "$version" ".tools/postgres-$version" >/dev/null
done
for version in "$@"; do
	bin=$(tools/npm-postgres.sh "$version" ".tools/postgres-$version")
	echo "Postgres $version: $("$bin/postgres" --version)" >&2
	rm -f "$logs/$version.json"
	# Its failures are in the log, and the table tells.
	PG_BIN=$PWD/$bin run_tests "$logs/$version.json" -count=1 -timeout "${TIMEOUT:-20m}" "${suites[@]/#/./}" || true
done

failed=0
printf '\n%-9s %-21s %6s %6s %7s\n' Postgres suite passed failed skipped
for version in "$@"; do
	for suite in "${suites[@]}"; do
		note=
		if [ "$(result "$version" "$suite")" != pass ]; then
			failed=1 note="  FAILED, see $logs/$version.json"
		fi
		printf '%-9s %-21s %6d %6d %7d%s\n' "$version" "$suite" "$(count "$version" "$suite" pass)" \
			"$(count "$version" "$suite" fail)" "$(count "$version" "$suite" skip)" "$note"
	done
done
exit $failed
