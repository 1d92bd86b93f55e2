package reconcile_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/internal/proptest"
)

// histories is how many the ordinary test plays; -rapid.checks asks for more.
const histories = 10000

// TestEveryCommitMarkerIsExact plays random histories through the package: at
// every commit marker each shape equals its query at one set of transactions (I4),
// and no row is ever written that the value sets at that moment keep out.
func TestEveryCommitMarkerIsExact(t *testing.T) {
	proptest.Checks(t, histories)
	var units, deferrals, steady, played int
	rapid.Check(t, func(t *rapid.T) {
		h := play(t, correct)
		if h.wrong != "" {
			t.Fatal(h.wrong)
		}
		played++
		units, deferrals, steady = units+h.units, deferrals+h.deferrals, steady+len(h.txns)
	})
	t.Logf("%d histories, %d transactions, %d units, %d transactions deferred", played, steady, units, deferrals)
	if units < played/2 || deferrals == 0 {
		t.Errorf("%d units and %d transactions deferred in %d histories prove little", units, deferrals, played)
	}
}

// A property that nothing can break proves nothing.
func TestTheHistoriesCatchMistakes(t *testing.T) {
	for name, m := range map[string]mutation{
		"a snapshot that does not see all that was applied":   seesOnlyOpener,
		"rows in question evaluated under the old sets alone": frozenAlone,
		"two transactions that were deferred in one place":    deferredStays,
	} {
		t.Run(name, func(t *testing.T) { catch(t, func(t *rapid.T) string { return play(t, m).wrong }) })
	}
}

// catch plays histories with a mistake in them until one goes wrong.
func catch(t *testing.T, play func(*rapid.T) (wrong string)) {
	t.Helper()
	g := rapid.Custom(play)
	for seed := range histories {
		if wrong := g.Example(seed); wrong != "" {
			t.Log(wrong)
			return
		}
	}
	t.Fatalf("%d histories went well", histories)
}
