// Package oracle plays random traffic on random tables through Shapebus and
// judges every shape at every commit marker of its log (invariant I4): what the
// log amounts to there must be what Postgres answers to the shape's SELECT at the
// set of transactions that the marker is about.
//
// The services are the built binary in processes of their own; they are killed
// at named points and at any moment, and come back with other fragment sizes.
// Some transactions commit into a wait for a standby that does not exist: they
// are in the stream long before snapshots see them. Shapes come and go all the while.
//
// The judge shares nothing with the product but the wire forms: a replication
// slot of the oracle's own tells what was committed, a second database is brought
// to each moment of that history, and Postgres' own SELECT is the truth.
//
// What else happens in a run, its ingredients, the seed draws: trimming at once, value
// sets ahead of places, long inner histories, locked tables, a materializer that
// stands still, shapes made again, refilled and altered tables, the end of all shapes at
// once, hundreds of shapes, the death of Postgres and of NATS and its unsynced tail,
// two-phase commit, readers. One run has a few of them (plan), so that a failure says
// something. What must come true of itself is judged at rest: every shape has what its
// SELECT says, what must end has ended, the change log can be trimmed, nobody holds a snapshot.
//
// Faults that were found and mended are kept as patches, which TestMutationsAreFound
// brings back to see that the oracle still finds them.
//
// Every run prints its seed. ORACLE_SEED draws the same tables, shapes, traffic
// and faults again (not their timing), ORACLE_SECONDS plays longer; a failed run is kept in
// a file, and ORACLE_RECORDING judges it again.
package oracle

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/proc"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

// The environment of a run.
const (
	seedEnv       = "ORACLE_SEED"
	secondsEnv    = "ORACLE_SECONDS"    // how long traffic runs; default 20
	subqueriesEnv = "ORACLE_SUBQUERIES" // 0: no shapes with subqueries; default 1
	// The ingredients of a run, comma-separated, or "none"; the seed draws some unless given.
	ingredientsEnv = "ORACLE_WITH"
	recordingEnv   = "ORACLE_RECORDING"
	showEnv        = "ORACLE_SHOW"   // a handle or how it begins: prints the shape's log of the recording
	binaryEnv      = "ORACLE_BINARY" // of another build of shapebus than this tree's
)

// requestTime bounds one request, of which the next may be answered by another process.
const requestTime = 6 * time.Second

func TestMain(m *testing.M) {
	proc.ServeNATS()
	code := pgtest.Main(m)
	built.Remove()
	os.Exit(code)
}

// built is package state because a test binary is what it belongs to.
var built proc.Build

// program is the binary to test.
func program(tb testing.TB) string {
	tb.Helper()
	if other := os.Getenv(binaryEnv); other != "" {
		return other
	}
	return built.Binary(tb)
}

func formatSeed(seed uint64) string { return strconv.FormatUint(seed, 10) }

func number(tb testing.TB, name string, otherwise uint64) uint64 {
	tb.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	return n
}
