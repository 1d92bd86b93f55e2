#!/usr/bin/env bash
# Runs the crash story against the named versions of nats-server (tools/nats-matrix.sh 2.12.1 2.15.3), each built from its Go module
# into .tools/nats-VERSION. Goes on with the next version when one has failed, says so at the end, and fails then.
set -euo pipefail
cd "$(dirname "$0")/.."

# What depends on the server: its death, its loss of power, a full store, a backup, the death of its clients, its leaders.
story='TestNATS|TestIngestDies|TestConsumerDies|TestConsumerThat|TestTheLeader|TestJetStream|TestAnOlderBackup|TestTheGrowth|TestReadersSee|TestSoak'

for version in "$@"; do # before the first test runs: what cannot be had shows at once
	server=$PWD/.tools/nats-$version/nats-server
	if [ ! -x "$server" ]; then
		GOBIN=$(dirname "$server") "${GO:-go}" install "github.com/nats-io/nats-server/v2@v$version"
	fi
	"$server" --version >&2
done
failed=()
for version in "$@"; do
	echo "NATS $version" >&2
	E2E_LONG=1 NATS_SERVER=$PWD/.tools/nats-$version/nats-server \
		"${GO:-go}" test -count=1 -timeout "${TIMEOUT:-40m}" -run "${STORY:-$story}" ./e2e/crash || failed+=("$version")
done
if [ ${#failed[@]} -gt 0 ]; then
	echo "failed with NATS ${failed[*]}" >&2
	exit 1
fi
