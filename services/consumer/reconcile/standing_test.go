package reconcile_test

import (
	"testing"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
)

// TestWhatAChainDoesFirst: where its stages are apart, or something is deferred, a unit takes all to one place.
func TestWhatAChainDoesFirst(t *testing.T) {
	at := func(lsn change.LSN, deferred ...change.LSN) reconcile.Standing {
		s := reconcile.Standing{At: lsn}
		for _, a := range deferred {
			s.Deferred = append(s.Deferred, reconcile.Txn{LSN: a})
		}
		return s
	}
	for _, tt := range []struct {
		name   string
		stages []reconcile.Standing
		apart  bool
		upTo   change.LSN
		first  change.LSN // that is deferred, 0 for none
	}{
		{"one stage", []reconcile.Standing{at(10)}, false, 10, 0},
		{"one stage with something deferred", []reconcile.Standing{at(10, 8)}, false, 10, 8},
		{"at one place", []reconcile.Standing{at(10), at(10)}, false, 10, 0},
		{"killed between two markers", []reconcile.Standing{at(20), at(10)}, true, 20, 0},
		{"the outer one is ahead: it has joined the group", []reconcile.Standing{at(10), at(20)}, true, 20, 0},
		{"something is deferred", []reconcile.Standing{at(10, 7, 9), at(10, 6)}, true, 10, 6},
	} {
		first, _ := reconcile.FirstDeferred(tt.stages)
		apart, upTo := reconcile.Apart(tt.stages), reconcile.Furthest(tt.stages).LSN
		if apart != tt.apart || upTo != tt.upTo || first.LSN != tt.first {
			t.Errorf("%s: apart %t, up to %s, first deferred %s", tt.name, apart, upTo, first.LSN)
		}
	}
}
